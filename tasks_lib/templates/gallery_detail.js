// The detail view: one entry in full, with how it came about.

const HASHES = new Set(["fingerprint", "sha-256"]);

function openDetail(position) {
  showDetail(position);
  detail.showModal();
  // Not by the attribute "autofocus", which browsers also try when the page opens, and then complain of.
  byId("stage").focus();
}

function step(by) {
  if (current + by in visible) showDetail(current + by);
}

function showDetail(position) {
  setCurrent(position);
  const entry = entries[visible[position]];
  byId("stage").replaceChildren(...stageOf(entry));
  byId("facts").replaceChildren(...factsOf(entry));
  byId("facts").scrollTop = 0;
  byId("place").textContent = `${(position + 1).toLocaleString("en")} of ${visible.length.toLocaleString("en")}`;
  byId("previous").disabled = position === 0;
  byId("next").disabled = position === visible.length - 1;
}

function stageOf(entry) {
  const { picture, generation, further } = entry;
  const width = picture?.uri ? shownWidth(picture, generation) : undefined;
  const image = picture?.uri ? makeLarge(picture, describe(entry), width) : makeReason(entry);
  const note = picture?.uri ? [make("p", "note", sizeNote(picture, generation))] : [];
  const twin = twinOf(entry);
  if (!further.length && !twin) return [image, ...note];
  const figures = further.map(({ name, picture }) => asFigure(captionOf(name, entry), picture, name, width));
  figures.push(make("figure", "", image, make("figcaption", "", twin ? "this image" : captionOf(entry.name, entry))));
  if (twin) figures.push(asFigure(`${entry.twin.name}: ${twin.prompt ?? ""}`, twin.picture, describe(twin), width));
  return [make("div", "beside", ...figures), ...(picture?.original ? [] : note)];
}

function twinOf({ twin }) {
  // What was rejected beside it has a fingerprint of its own, so this is the image that was kept.
  return twin && (entries.find(({ generation }) => generation.fingerprint === twin.fingerprint) ?? twins[twin.fingerprint]);
}

function captionOf(name, entry) {
  return (entry.name === "edited_image" && { image: "before", edited_image: "after" }[name]) || name;
}

function makeReason(entry) {
  return make("p", "reason", make("b", "", entry.status), reason(entry));
}

function makeLarge(picture, alt, width) {
  const image = makeImage(picture, alt);
  image.src = picture.uri;
  image.style.width = `${width}px`;
  return image;
}

function shownWidth({ width, height }, generation) {
  // What is tiny is enlarged by whole pixels, what is reduced is shown at the size of its original.
  const zoom = Math.max(width, height) <= TINY ? Math.floor((2 * TINY) / Math.max(width, height)) : 1;
  return zoom > 1 ? width * zoom : Math.max(width, generation.width ?? 0);
}

function sizeNote(picture, generation) {
  if (picture.original) return "The original image";
  const size = `${picture.width} × ${picture.height}`;
  const full = generation.width ? `${generation.width} × ${generation.height}` : null;
  if (size === full) return "A WebP copy at full size; the original is in the Parquet file";
  return `A preview, ${size}${full ? ` of ${full}` : ""}; the original is in the Parquet file`;
}

function asFigure(caption, picture, alt, width) {
  if (!picture?.uri) return make("p", "note", `${caption}: ${picture?.trouble ?? "there is no image"}`);
  // Side by side, pictures are compared, so all are shown at the width of the one that was opened.
  return make("figure", "", makeLarge(picture, alt, width ?? picture.width), make("figcaption", "", caption));
}

function factsOf(entry) {
  const { width, height, format, seconds, cost_usd: cost, seed, fingerprint, image_sha256: sha256 } = entry.generation;
  return [
    make("p", "prompt", entry.prompt ?? ""),
    entry.status === "ok" || !entry.picture?.uri ? null : make("p", "verdict", make("b", "", entry.status), entry.error ?? ""),
    factList("Generation", {
      status: entry.status,
      model: entry.model,
      seed,
      size: width && `${width} × ${height} px`,
      format,
      time: seconds === undefined ? null : `${Number(seconds.toPrecision(3))} s`,
      cost: cost === undefined ? null : `${Number(cost.toPrecision(3))} USD`,
    }),
    factList("Options", optionsOf(entry.generation)),
    factList("Columns", entry.columns),
    factList("Place", {
      config: entry.config,
      split: entry.split,
      row: entry.row,
      image: entry.image && `${entry.image[0]} of ${entry.image[1]}`,
      fingerprint,
      "sha-256": sha256,
    }),
  ].filter(Boolean);
}

function optionsOf({ options }) {
  if (!options) return {};
  try {
    const parsed = JSON.parse(options);
    return parsed && typeof parsed === "object" ? parsed : { options };
  } catch {
    return { options };
  }
}

function factList(heading, facts) {
  const rows = Object.entries(facts).filter(([, value]) => value !== null && value !== undefined && value !== "");
  if (!rows.length) return null;
  const list = make("dl", "");
  for (const [name, value] of rows) {
    list.append(make("dt", "", name), make("dd", HASHES.has(name) ? "hash" : "", textOf(value)));
  }
  return make("section", "", make("h2", "", heading), list);
}

function textOf(value) {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("close").addEventListener("click", () => detail.close());
byId("stage").addEventListener("click", (event) => event.target.id === "stage" && detail.close());
detail.addEventListener("close", () => focusTile(current));
