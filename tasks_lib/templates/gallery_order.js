// The order of the sheet: as the rows stand, or by a number such as a score.

const ordering = { by: undefined, descending: true };

function makeOrdering() {
  const labels = ["in order of rows", ...orders.map(({ label }) => `by ${label}`)];
  const select = make("select", "", ...labels.map((label) => make("option", "", label)));
  select.setAttribute("aria-label", "Order");
  const direction = make("button", "chip");
  direction.type = "button";
  select.addEventListener("change", () => order({ by: orders[select.selectedIndex - 1] }));
  direction.addEventListener("click", () => order({ descending: !ordering.descending }));
  ordering.show = () => {
    select.classList.toggle("chosen", ordering.by !== undefined);
    direction.hidden = ordering.by === undefined;
    direction.textContent = ordering.descending ? "highest first" : "lowest first";
  };
  ordering.show();
  byId("ordering").append(select, direction);
}

function order(change) {
  Object.assign(ordering, change);
  ordering.show();
  tiles.forEach((tile, index) => (tile.querySelector(".value").textContent = shortNumber(numberOf(index))));
  applyFilters();
}

function inOrder(indexes) {
  if (!ordering.by) return indexes;
  const sign = ordering.descending ? -1 : 1;
  return indexes.map((index) => ({ index, number: numberOf(index) })).sort((a, b) => {
    // What has no number comes last either way; equal numbers stay in the order of rows.
    if (a.number === undefined || b.number === undefined) return (a.number === undefined) - (b.number === undefined);
    return sign * (a.number - b.number);
  }).map(({ index }) => index);
}

function numberOf(index) {
  const value = ordering.by && entries[index][ordering.by.part][ordering.by.name];
  return typeof value === "number" ? value : undefined;
}

function shortNumber(number) {
  return number === undefined ? "" : String(Number(number.toPrecision(4)));
}
