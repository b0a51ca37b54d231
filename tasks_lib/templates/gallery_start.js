// The start: everything above is wired up and shown.

function fittingSide() {
  if (innerWidth < 640) return Math.floor((innerWidth - 48) / 3);
  return entries.length <= 12 ? 264 : entries.length <= 60 ? 208 : 160;
}

function setSide(side) {
  byId("size").value = side;
  sheet.style.setProperty("--side", `${side}px`);
}

filters.forEach((filter, index) => {
  if (index > 0) makeSelect(filter);
  else if (filter.values.length > 1) makeChips(filter);
});
if (orders.length) makeOrdering();
tiles.forEach((tile) => nearby.observe(tile));
search.addEventListener("input", applyFilters);
byId("tools").addEventListener("submit", (event) => event.preventDefault());
byId("clear").addEventListener("click", clearFilters);
byId("size").addEventListener("input", (event) => setSide(event.target.value));
sheet.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) openDetail(visible.indexOf(Number(button.dataset.index)));
});
document.addEventListener("keydown", onKey);
addEventListener("beforeprint", () => tiles.forEach(showPicture));
sheet.style.setProperty("--ratio", frameRatio);
setSide(fittingSide());
applyFilters();
