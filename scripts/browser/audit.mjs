// What a page must keep to, measured in the page: runs inside the browser, through evaluate.

/** Faults of the page as it is shown now, one line each. */
export async function audit(page) {
  return page.evaluate(inPage);
}

function inPage() {
  const faults = [];
  const named = (it) => {
    const text = (it.innerText || it.value || "").trim().slice(0, 30);
    return `<${it.tagName.toLowerCase()}${it.id ? `#${it.id}` : ""} class="${it.className}"> ${text}`;
  };
  const shown = (it) => it.checkVisibility({ visibilityProperty: true, opacityProperty: true });

  // For fingers: what stands alone, what stands in a row of small things, what stands in a text.
  const room = (it) => {
    if (it.matches("button:not(.link), header a, .more, .spans a")) return 44;
    return it.matches("button, .byline a, footer a") ? 36 : 14;
  };

  // ---- Structure.
  const root = document.documentElement;
  if (!root.lang) faults.push("the page does not say its language");
  if (!document.title.trim()) faults.push("the page has no title");
  for (const [what, number] of [["h1", 1], ["main", 1], ["header", 1], ["nav", 1]]) {
    const found = document.querySelectorAll(what).length;
    if (found < number || (what !== "nav" && found > number)) faults.push(`${found} <${what}>`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((it) => it.id);
  const twice = ids.filter((id, at) => ids.indexOf(id) !== at);
  if (twice.length > 0) faults.push(`ids given twice: ${[...new Set(twice)].join(", ")}`);
  if (document.querySelector("script, [style], [onclick]")) faults.push("scripts or styles inline");
  for (const it of document.querySelectorAll("link, img")) {
    const path = it.getAttribute("href") ?? it.getAttribute("src");
    if (!/^\/(?!\/)/.test(path)) faults.push(`wants ${path}, which need not be on this node`);
  }

  // ---- Nothing sticks out.
  if (root.scrollWidth > root.clientWidth) {
    const wide = [...document.body.querySelectorAll("*")].filter((it) => {
      return shown(it) && it.getBoundingClientRect().right > root.clientWidth + 0.5;
    });
    faults.push(`${root.scrollWidth} px in ${root.clientWidth}: ${wide.slice(0, 3).map(named).join("; ")}`);
  }

  // ---- Names of what can be used, and room to hit it.
  for (const field of document.querySelectorAll("input, textarea, select")) {
    if (field.type === "hidden" || !shown(field)) continue;
    const label = [...(field.labels ?? [])].map((it) => it.innerText).join(" ").trim();
    if (!label && !field.getAttribute("aria-label")) faults.push(`no label: ${named(field)}`);
    const size = Number.parseFloat(getComputedStyle(field).fontSize);
    // Phones zoom in on smaller ones.
    if (size < 16) faults.push(`text of ${size} px to type into: ${named(field)}`);
  }
  for (const it of document.querySelectorAll("a, button")) {
    if (!shown(it)) continue;
    const name = it.innerText.trim() || it.getAttribute("aria-label") || it.querySelector("img[alt]")?.alt;
    if (!name) faults.push(`no name: ${named(it)}`);
    const { height } = it.getBoundingClientRect();
    const wanted = root.clientWidth < 600 ? room(it) : 14;
    if (it.innerText.trim() && height < wanted && height > 1) {
      faults.push(`${height} px high: ${named(it)}`);
    }
  }

  // ---- Contrast of all text, WCAG 2.2 AA (1.4.3).
  const parse = (color) => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return { rgb: [r, g, b], alpha: a / 255 };
  };
  const over = (top, below) => top.rgb.map((it, at) => it * top.alpha + below[at] * (1 - top.alpha));
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((it) => {
      const part = it / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const backgroundOf = (it) => {
    const layers = [];
    for (let at = it; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
    const canvas = parse("canvas").rgb;
    return layers.reverse().reduce((below, layer) => over(layer, below), canvas);
  };
  const seen = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const it = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || seen.has(it) || !shown(it)) continue;
    seen.add(it);
    const style = getComputedStyle(it);
    const background = backgroundOf(it);
    const color = over(parse(style.color), background);
    const [light, dark] = [luminance(color), luminance(background)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    const size = Number.parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) {
      const colors = `${style.color} on ${background.map(Math.round)}`;
      faults.push(`contrast ${ratio.toFixed(2)} (${colors}): ${named(it)}`);
    }
  }
  return [...new Set(faults)];
}
