// Moving about: Tab reaches one tile, the arrows move on from it.

function setCurrent(position) {
  if (reachable) reachable.tabIndex = -1;
  current = position;
  reachable = tiles[visible[position]]?.firstChild;
  if (reachable) reachable.tabIndex = 0;
}

function focusTile(position) {
  if (!visible.length) return;
  setCurrent(Math.min(visible.length - 1, Math.max(0, position)));
  reachable.focus();
}

function firstInView() {
  const top = byId("tools").getBoundingClientRect().bottom;
  return Math.max(0, visible.findIndex((index) => tiles[index].getBoundingClientRect().bottom > top));
}

function moveInSheet(event) {
  const columns = getComputedStyle(sheet).gridTemplateColumns.split(" ").length;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
  const ends = { Home: 0, End: visible.length - 1 };
  if (!(event.key in steps) && !(event.key in ends)) return;
  event.preventDefault();
  if (event.key in ends) focusTile(ends[event.key]);
  else if (!sheet.contains(document.activeElement)) focusTile(firstInView());
  else if (current + steps[event.key] in visible) focusTile(current + steps[event.key]);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (detail.open) {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  } else if (event.target === search) {
    moveFromSearch(event);
  } else if (event.key === "/") {
    event.preventDefault();
    search.select();
    search.focus();
  } else if (!event.target.matches("input, select")) moveInSheet(event);
}

function moveFromSearch(event) {
  if (!["Escape", "ArrowDown", "Enter"].includes(event.key)) return;
  event.preventDefault();
  if (event.key === "ArrowDown") focusTile(0);
  if (event.key === "Escape" && !search.value) search.blur();
  if (event.key === "Escape" && search.value) {
    search.value = "";
    applyFilters();
  }
}
