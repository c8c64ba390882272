"use strict";

const UNITS = {
  micrometer: [[1, "µm"], [1e3, "mm"]],
  millimeter: [[1, "mm"], [1e3, "m"]],
  meter: [[1, "m"], [1e3, "km"]],
  kilometer: [[1, "km"]],
  degree: [[1, "°"]],
  pixel: [[1, "px"]],
};
const BAR_PIXELS = 180;
const NAVIGATOR_FROM = 4096;
const TIMEOUT = 60 * 60 * 1000; // a tile of a large virtual slide may first need its plan

const byId = (id) => document.getElementById(id);
const state = { images: [], index: 0, viewer: null };

/* Levels are counted from the coarsest by OpenSeadragon, from the finest by the server. */
function tileSource(image) {
  const levels = image.levels.slice().reverse();
  const last = levels.length - 1;
  const gaps = levels.slice(1).map((level, k) => levels[k].downsample / level.downsample);
  return {
    width: image.width,
    height: image.height,
    tileSize: image.tile,
    tileOverlap: image.overlap,
    minLevel: 0,
    maxLevel: last,
    minPixelRatio: image.virtual ? 0.7 : Math.min(0.5, 1 / Math.max(2, ...gaps)),
    getLevelScale: (level) => (levels[level] ? 1 / levels[level].downsample : NaN),
    getNumTiles: (level) => new OpenSeadragon.Point(
      Math.ceil(levels[level].width / image.tile), Math.ceil(levels[level].height / image.tile)),
    getTileUrl: (level, x, y) => `tiles/${image.key}/${last - level}/${x}_${y}.${image.kind}`,
  };
}

function openImage(index) {
  const image = state.images[index];
  state.index = index;
  if (state.viewer) state.viewer.destroy();
  document.body.dataset.state = "opening";
  const source = tileSource(image);
  const viewer = state.viewer = OpenSeadragon({
    element: byId("viewer"),
    tileSources: source,
    drawer: "canvas",
    minPixelRatio: source.minPixelRatio,
    showNavigationControl: false,
    showNavigator: Math.max(image.width, image.height) >= NAVIGATOR_FROM,
    navigatorPosition: "TOP_RIGHT",
    navigatorSizeRatio: 0.15,
    navigatorBackground: "#d9dde2",
    maxZoomPixelRatio: 16,
    visibilityRatio: 0.3,
    imageLoaderLimit: 6,
    timeout: TIMEOUT,
    animationTime: 0.4,
    gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
  });
  // The small overview is a viewer of its own and would give up after half a minute.
  if (viewer.navigator) viewer.navigator.imageLoader.timeout = TIMEOUT;
  describe(image);
  viewer.addHandler("open", () => { loaded(false); goTo(hashView()); drawScale(); });
  viewer.addHandler("open-failed", (event) => say(event.message));
  viewer.addHandler("fully-loaded-change", (event) => loaded(event.fullyLoaded));
  viewer.addHandler("tile-load-failed", () => { state.failed = true; say("a tile cannot be read, see the terminal"); });
  viewer.addHandler("update-viewport", drawScale);
  viewer.addHandler("animation-finish", keepView);
  // What was wanted before the image was moved is not wanted any more, and may cost seconds to compute.
  for (const name of ["pan", "zoom"]) viewer.addHandler(name, () => viewer.imageLoader.clear());
  state.failed = false;
}

function loaded(fully) {
  document.body.dataset.state = fully ? "ready" : "loading";
  if (!state.failed) say(fully ? "" : state.images[state.index].virtual ? "computing …" : "reading …");
}

function say(text) {
  byId("doing").textContent = text;
}

/* The address keeps the place: #image/x/y/downsample, the centre in pixels of the finest level. */
function hashView() {
  const [index, x, y, downsample] = location.hash.slice(1).split("/").map(Number);
  return index === state.index && [x, y].every(Number.isFinite) && downsample > 0 ? { x, y, downsample } : null;
}

function goTo(view) {
  if (!view) return;
  const viewport = state.viewer.viewport;
  const size = viewport.getContainerSize();
  // At 1:1 pixels of the image lie on pixels of the screen, so that none is smeared over two.
  const aligned = (at, length) => (view.downsample === 1 ? Math.round(at - length / 2) + length / 2 : at);
  viewport.zoomTo(viewport.imageToViewportZoom(1 / view.downsample), null, true);
  viewport.panTo(viewport.imageToViewportCoordinates(aligned(view.x, size.x), aligned(view.y, size.y)), true);
}

function currentView() {
  const viewport = state.viewer.viewport;
  const centre = viewport.viewportToImageCoordinates(viewport.getCenter());
  return { x: centre.x, y: centre.y, downsample: 1 / viewport.viewportToImageZoom(viewport.getZoom()) };
}

function keepView() {
  const { x, y, downsample } = currentView();
  history.replaceState(null, "", `#${state.index}/${x.toFixed(1)}/${y.toFixed(1)}/${downsample.toPrecision(4)}`);
}

/* The longest of 1, 2 or 5 times a power of ten that fits. */
function niceLength(longest) {
  const power = 10 ** Math.floor(Math.log10(longest));
  return power * [5, 2, 1].find((factor) => factor * power <= longest * (1 + 1e-9));
}

function withUnit(length, unit) {
  const choices = UNITS[unit] || [[1, unit]];
  const [factor, name] = choices.slice().reverse().find(([least]) => length >= least) || choices[0];
  return `${Number((length / factor).toPrecision(6))} ${name}`;
}

function drawScale() {
  const image = state.images[state.index];
  if (!state.viewer || !state.viewer.isOpen()) return;
  const perPixel = image.spacing * currentView().downsample;
  const length = niceLength(BAR_PIXELS * perPixel);
  byId("scale").hidden = false;
  byId("scale-text").textContent = withUnit(length, image.unit);
  byId("scale-bar").style.width = `${length / perPixel}px`;
}

function showPosition(event) {
  if (!state.viewer || !state.viewer.isOpen()) return;
  const box = byId("viewer").getBoundingClientRect();
  const point = new OpenSeadragon.Point(event.clientX - box.left, event.clientY - box.top);
  const pixel = state.viewer.viewport.viewerElementToImageCoordinates(point);
  const { downsample } = currentView();
  const zoom = downsample >= 1 ? `1:${Number(downsample.toPrecision(3))}` : `${Number((1 / downsample).toPrecision(3))}:1`;
  byId("position").textContent = `x ${Math.floor(pixel.x)}, y ${Math.floor(pixel.y)} · ${zoom}`;
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function describe(image) {
  document.title = `${image.title} · infbrush view`;
  byId("title").textContent = image.title;
  byId("kind").textContent = image.virtual ? "virtual slide, computed where you look" : image.synthetic ? "synthetic image" : "image";
  byId("synthetic").hidden = !image.synthetic;
  byId("facts").replaceChildren(...image.facts.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  for (const [index, button] of [...byId("images").children].entries()) {
    button.setAttribute("aria-current", String(index === state.index));
  }
}

function listImages() {
  if (state.images.length < 2) return;
  byId("images").replaceChildren(...state.images.map((image, index) => {
    const button = element("button", image.title + (image.synthetic ? " (synthetic)" : ""));
    button.type = "button";
    button.addEventListener("click", () => { location.hash = `#${index}`; });
    return button;
  }));
}

function followAddress() {
  const index = Number(location.hash.slice(1).split("/")[0]);
  if (Number.isInteger(index) && state.images[index] && index !== state.index) openImage(index);
  else goTo(hashView());
}

function zoomBy(factor) {
  state.viewer.viewport.zoomBy(factor);
  state.viewer.viewport.applyConstraints();
}

function toggleFull() {
  if (document.fullscreenElement) document.exitFullscreen();
  else byId("stage").requestFullscreen();
}

async function start() {
  const answer = await fetch("images.json");
  if (!answer.ok) throw new Error(await answer.text());
  state.images = await answer.json();
  listImages();
  const index = Number(location.hash.slice(1).split("/")[0]);
  openImage(state.images[index] ? index : 0);
  byId("zoom-in").addEventListener("click", () => zoomBy(2));
  byId("zoom-out").addEventListener("click", () => zoomBy(0.5));
  byId("one").addEventListener("click", () => goTo({ ...currentView(), downsample: 1 }));
  byId("home").addEventListener("click", () => state.viewer.viewport.goHome());
  byId("full").addEventListener("click", toggleFull);
  byId("viewer").addEventListener("pointermove", showPosition);
  window.addEventListener("hashchange", followAddress);
}

start().catch((error) => {
  document.body.dataset.state = "failed";
  say(`the page cannot be shown: ${error.message}`);
});
