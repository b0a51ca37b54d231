"use strict";
// Every text of the dataset reaches the page through textContent or alt, never as HTML.

const byId = (id) => document.getElementById(id);
const { entries, facets: labels, orders, twins } = JSON.parse(byId("data").textContent);
const [search, sheet, detail] = ["search", "sheet", "detail"].map(byId);
const PICTURES_AHEAD = "800px";
const TINY = 192;

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// ---- the sheet: one tile an entry; a picture is decoded when its tile comes near

const frameRatio = medianRatio();
const tiles = entries.map(makeTile);
let visible = [];
let current = 0;
let reachable;

const nearby = new IntersectionObserver((changes) => {
  for (const { isIntersecting, target } of changes) {
    if (!isIntersecting) continue;
    showPicture(target);
    nearby.unobserve(target);
  }
}, { rootMargin: PICTURES_AHEAD });

function makeTile(entry, index) {
  const { picture, status } = entry;
  const frame = make("span", "frame");
  if (picture?.uri) frame.append(makePrint(picture, describe(entry)));
  else frame.append(make("b", "", picture ? "unreadable" : status), make("span", "", reason(entry)));
  const number = make("span", "number", entry.image ? `${entry.row}.${entry.image[0]}` : String(entry.row));
  const mark = picture?.uri && status !== "ok" ? make("b", "", `${status} `) : null;
  const caption = make("span", "caption", number, make("span", "value"), mark, entry.prompt ?? "");
  caption.setAttribute("aria-hidden", String(Boolean(picture?.uri)));
  const button = make("button", "", frame, caption);
  button.type = "button";
  button.tabIndex = -1;
  button.dataset.index = index;
  const tile = make("li", picture?.uri ? "print" : "void", button);
  tile.dataset.status = status;
  return tile;
}

function makePrint(picture, alt) {
  const isWide = picture.width / picture.height >= frameRatio;
  const print = make("span", isWide ? "wide mat" : "tall mat", makeImage(picture, alt));
  print.style.aspectRatio = `${picture.width} / ${picture.height}`;
  return print;
}

function makeImage({ width, height }, alt) {
  const image = make("img", Math.max(width, height) <= TINY ? "tiny" : "");
  Object.assign(image, { alt, width, height, decoding: "async" });
  return image;
}

function showPicture(tile) {
  const image = tile.querySelector("img");
  if (image && !image.src) image.src = entries[tile.firstChild.dataset.index].picture.uri;
}

function describe({ prompt, status, row }) {
  return (prompt || `Row ${row}`) + (status === "ok" ? "" : ` (${status})`);
}

function reason({ picture, error }) {
  return picture?.trouble ?? error ?? "There is no image.";
}

function medianRatio() {
  const ratios = entries.filter((entry) => entry.picture?.uri).map(({ picture }) => picture.width / picture.height);
  const median = ratios.sort((a, b) => a - b)[ratios.length >> 1] ?? 1.8;
  return Math.min(2, Math.max(0.6, median));
}

// ---- filters: the status, the label columns and the words of the search

const ORDER = ["ok", "rejected", "refused", "failed"];
const statuses = [...new Set(entries.map((entry) => entry.status))].sort((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b));
const filters = [
  { name: "status", values: statuses, of: (entry) => entry.status },
  ...labels.map(({ name, column, values }) => ({
    name, values, of: column ? (entry) => entry.columns[name] : (entry) => entry[name],
  })),
].map((filter) => ({ ...filter, chosen: undefined, counts: new Map(), show: () => {} }));
const haystacks = entries.map(({ prompt, error }) => `${prompt ?? ""}\n${error ?? ""}`.toLowerCase());

function makeChips(filter) {
  const chips = [undefined, ...filter.values].map((value) => {
    const count = make("span", "number");
    const chip = make("button", "chip", value ?? "all", " ", count);
    chip.type = "button";
    chip.addEventListener("click", () => choose(filter, value));
    return { value, chip, count };
  });
  filter.show = () => {
    for (const { value, chip, count } of chips) {
      chip.setAttribute("aria-pressed", String(filter.chosen === value));
      count.textContent = countOf(filter, value).toLocaleString("en");
    }
  };
  byId("statuses").append(...chips.map(({ chip }) => chip));
}

function makeSelect(filter) {
  const any = make("option", "", `any ${filter.name}`);
  const options = [any, ...filter.values.map(() => make("option"))];
  const select = make("select", "", ...options);
  select.setAttribute("aria-label", filter.name);
  select.addEventListener("change", () => choose(filter, filter.values[select.selectedIndex - 1]));
  filter.show = () => {
    filter.values.forEach((value, index) => {
      const count = countOf(filter, value);
      options[index + 1].textContent = `${filter.name}: ${value} (${count.toLocaleString("en")})`;
      options[index + 1].disabled = count === 0 && filter.chosen !== value;
    });
    select.selectedIndex = filter.values.indexOf(filter.chosen) + 1;
    select.classList.toggle("chosen", filter.chosen !== undefined);
  };
  byId("facets").append(select);
}

function countOf(filter, value) {
  return value === undefined ? [...filter.counts.values()].reduce((a, b) => a + b, 0) : filter.counts.get(value) ?? 0;
}

function choose(filter, value) {
  filter.chosen = value;
  applyFilters();
}

function applyFilters() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  filters.forEach((filter) => filter.counts.clear());
  const matching = entries.flatMap((entry, index) => {
    if (!words.every((word) => haystacks[index].includes(word))) return [];
    const against = filters.filter((filter) => filter.chosen !== undefined && filter.of(entry) !== filter.chosen);
    // A filter's counts say what choosing another of its values would show, so only the others decide.
    for (const filter of against.length ? against : filters) {
      if (against.length < 2) filter.counts.set(filter.of(entry), (filter.counts.get(filter.of(entry)) ?? 0) + 1);
    }
    return against.length ? [] : [index];
  });
  visible = inOrder(matching);
  showVisible(words.length > 0 || filters.some((filter) => filter.chosen !== undefined));
}

function showVisible(filtered) {
  // Measured with 5,000 tiles: taken out of a sheet that is laid out they cost 650 ms, out of a hidden one 50.
  sheet.hidden = true;
  void getComputedStyle(sheet).display;
  sheet.replaceChildren(...visible.map((index) => tiles[index]));
  sheet.hidden = false;
  setCurrent(0);
  filters.forEach((filter) => filter.show());
  const all = entries.length.toLocaleString("en");
  byId("count").textContent = filtered ? `${visible.length.toLocaleString("en")} of ${all}` : `${all} in all`;
  byId("clear").hidden = !filtered;
  byId("nothing").hidden = visible.length > 0;
}

function clearFilters() {
  search.value = "";
  filters.forEach((filter) => (filter.chosen = undefined));
  applyFilters();
}
