// Three planes through a volume, with one crosshair; slices come from the kernel and are windowed here.
// Each plane: the axis it is cut across, and which axes run down and to the right (0 is z, 1 is y, 2 is x).
const PLANES = [["axial", 0, 1, 2], ["coronal", 1, 0, 2], ["sagittal", 2, 0, 1]];
const KEPT = 240;

class Plane {
  constructor(app, [name, across, down, right]) {
    Object.assign(this, { app, name, across, down, right, slices: new Map() });
    const { shape, spacing } = app.spec;
    this.canvas = make("canvas", { width: shape[right], height: shape[down], class: `ig-slice ig-${name}`, tabIndex: 0,
      role: "application", "aria-label": `${name} slice; arrows move the crosshair, page up and down change the slice` });
    this.canvas.style.aspectRatio = `${shape[right] * spacing[right]} / ${shape[down] * spacing[down]}`;
    this.context = this.canvas.getContext("2d");
    this.width = shape[right] * spacing[right];
    this.marks = make("div", { class: "ig-marks" });
    this.lines = [make("i", { class: "ig-across" }), make("i", { class: "ig-down" })];
    this.title = make("figcaption");
    const [up, low, left, far] = [this.letter(down, 0), this.letter(down, 1), this.letter(right, 0), this.letter(right, 1)];
    this.marks.append(...this.lines, ...[["top", up], ["bottom", low], ["left", left], ["right", far]]
      .map(([side, text]) => make("b", { class: `ig-${side}`, textContent: text })));
    this.element = make("figure", {}, make("div", { class: "ig-frame" }, this.canvas, this.marks), this.title);
    this.element.style.flexGrow = this.width;  // one scale for all planes
    this.canvas.addEventListener("pointerdown", (event) => { this.canvas.focus(); this.held = true; this.canvas.setPointerCapture(event.pointerId); this.point(event); });
    this.canvas.addEventListener("pointermove", (event) => { if (this.held) this.point(event); });
    this.canvas.addEventListener("pointerup", () => { this.held = false; });
    this.canvas.addEventListener("wheel", (event) => { event.preventDefault(); app.step(this.across, Math.sign(event.deltaY)); }, { passive: false });
    this.canvas.addEventListener("keydown", (event) => this.keydown(event));
  }
  flipped(axis) { return this.app.spec.flips[axis]; }
  letter(axis, end) { return this.app.spec.letters?.[axis][this.flipped(axis) ? 1 - end : end] ?? ""; }
  onScreen(axis, value) { return this.flipped(axis) ? this.app.spec.shape[axis] - 1 - value : value; }
  point(event) {
    const box = this.canvas.getBoundingClientRect(), place = this.app.position.slice();
    const u = (event.clientX - box.left) / box.width * this.canvas.width, v = (event.clientY - box.top) / box.height * this.canvas.height;
    place[this.right] = this.onScreen(this.right, Math.floor(u));
    place[this.down] = this.onScreen(this.down, Math.floor(v));
    this.app.moveTo(place, event.type === "pointermove");
  }
  keydown(event) {
    const turn = (axis) => (this.flipped(axis) ? -1 : 1);
    const steps = { ArrowLeft: [this.right, -turn(this.right)], ArrowRight: [this.right, turn(this.right)],
      ArrowUp: [this.down, -turn(this.down)], ArrowDown: [this.down, turn(this.down)], PageUp: [this.across, 1], PageDown: [this.across, -1] };
    if (!(event.key in steps)) return;
    event.preventDefault();
    this.app.step(...steps[event.key]);
  }
  draw() {
    const index = this.app.position[this.across], slice = this.slices.get(index);
    this.title.textContent = `${this.name} ${index + 1} / ${this.app.spec.shape[this.across]}`;
    const place = (axis, n) => `${(this.onScreen(axis, this.app.position[axis]) + .5) / n * 100}%`;
    this.lines[0].style.top = place(this.down, this.canvas.height);
    this.lines[1].style.left = place(this.right, this.canvas.width);
    if (!slice) { this.app.want(this.name, index); return; }
    this.drawn = index;
    const { width, height } = this.canvas, picture = this.context.createImageData(width, height);
    const [low, high] = this.app.window, step = 255 / Math.max(high - low, 1e-9), { opacity, spec } = this.app;
    const rows = this.flipped(this.down), columns = this.flipped(this.right);
    for (let v = 0; v < height; v++) {
      for (let u = 0; u < width; u++) {
        const from = (rows ? height - 1 - v : v) * width + (columns ? width - 1 - u : u), at = 4 * (v * width + u);
        const value = slice.image[from];
        const grey = Number.isNaN(value) ? 41 : Math.min(Math.max((value - low) * step, 0), 255);
        const over = slice.overlay ? slice.overlay[from] : 0;
        const colour = over ? spec.colours[over] : null;
        const part = colour ? opacity * colour[3] : 0;
        for (let k = 0; k < 3; k++) picture.data[at + k] = grey * (1 - part) + (colour ? colour[k] * part : 0);
        picture.data[at + 3] = 255;
      }
    }
    this.context.putImageData(picture, 0, 0);
  }
}

class Volume {
  constructor(model, root) {
    this.model = model;
    this.spec = model.get("_spec");
    this.position = model.get("position").slice();
    this.window = model.get("window").slice();
    this.opacity = model.get("opacity");
    this.asked = new Map();
    this.planes = PLANES.map((one) => new Plane(this, one));
    this.value = make("span", { class: "ig-value", role: "status" });
    this.note = make("span", { class: "ig-note", role: "status" });
    const span = this.spec.range;
    const slider = (label, at) => make("label", {}, label, make("input", { type: "range", min: span[0], max: span[1],
      step: (span[1] - span[0]) / 1000 || 1, "data-end": at, "aria-label": `${label} of the window`,
      oninput: (event) => { this.window[at] = +event.target.value; this.preset.value = ""; this.draw(); }, onchange: () => this.save() }));
    this.sliders = [slider("Black", 0), slider("White", 1)];
    this.preset = make("select", { "aria-label": "Window", onchange: () => this.choose(this.preset.value) },
      make("option", { value: "", textContent: "own window" }),
      ...Object.keys(this.spec.presets).map((name) => make("option", { value: name, textContent: name })));
    const bar = make("div", { class: "ig-bar", role: "toolbar", "aria-label": "Window" }, this.preset, ...this.sliders);
    if (this.spec.colours) {
      bar.append(make("label", {}, "Overlay", make("input", { type: "range", min: 0, max: 1, step: .05, value: this.opacity, "aria-label": "Opacity of the overlay",
        oninput: (event) => { this.opacity = +event.target.value; this.draw(); },
        onchange: () => { model.set("opacity", this.opacity); model.save_changes(); } })));
    }
    root.classList.add("ig-volume");
    root.append(bar, make("div", { class: "ig-planes" }, ...this.planes.map((plane) => plane.element)), this.value, this.note);
    this.heard = {
      "msg:custom": (message, buffers) => this.receive(message, buffers),
      "change:position": () => { this.position = model.get("position").slice(); this.draw(); },
      "change:window": () => { this.window = model.get("window").slice(); this.draw(); },
    };
    for (const [name, act] of Object.entries(this.heard)) model.on(name, act);
    this.clock = setInterval(() => this.again(), 1000);
    this.draw();
  }
  choose(name) {
    if (!name) return;
    this.window = this.spec.presets[name].slice();
    this.save();
    this.draw();
  }
  save() {
    this.model.set("window", this.window.slice());
    this.model.save_changes();
  }
  step(axis, by) {
    const place = this.position.slice();
    place[axis] += by;
    this.moveTo(place);
  }
  moveTo(place, more) {
    this.position = place.map((n, k) => Math.min(Math.max(n, 0), this.spec.shape[k] - 1));
    this.draw();
    clearTimeout(this.later);
    this.later = setTimeout(() => { this.model.set("position", this.position.slice()); this.model.save_changes(); }, more ? 120 : 0);
  }
  draw() {
    cancelAnimationFrame(this.due);
    this.due = requestAnimationFrame(() => {
      this.planes.forEach((plane) => plane.draw());
      this.sliders.forEach((one, k) => { one.lastChild.value = this.window[k]; });
      const [z, y, x] = this.position, slice = this.planes[0].slices.get(z);
      const value = slice ? slice.image[y * this.spec.shape[2] + x] : NaN, over = slice?.overlay?.[y * this.spec.shape[2] + x];
      this.value.textContent = `z ${z}, y ${y}, x ${x}: ${Number.isNaN(value) ? "–" : +value.toPrecision(5)} ${this.spec.unit}`
        + (over ? ` · ${this.spec.names[over] ?? ""}` : "");
    });
  }
  want(plane, index) {
    const key = `${plane}/${index}`;
    if (this.asked.has(key)) return;
    this.asked.set(key, performance.now());
    this.model.send({ type: "slice", plane, index });
  }
  again() {  // what was never answered and is still looked at
    const now = performance.now();
    let late = false;
    for (const [key, since] of this.asked) {
      if (now - since < this.spec.patience_ms) continue;
      this.asked.delete(key);
      late = true;
    }
    if (late) { this.note.textContent = "The kernel is not answering (busy or gone); asking again …"; this.draw(); }
  }
  receive(message, buffers) {
    if (message.type === "failed") { this.note.textContent = message.text; return; }
    if (message.type !== "slice") return;
    const bytes = (view) => view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
    const plane = this.planes.find((one) => one.name === message.plane);
    plane.slices.set(message.index, { image: new Float32Array(bytes(buffers[0])), overlay: buffers[1] ? new Uint8Array(bytes(buffers[1])) : null });
    if (plane.slices.size > KEPT) plane.slices.delete(plane.slices.keys().next().value);
    this.asked.delete(`${message.plane}/${message.index}`);
    this.note.textContent = "";
    this.draw();
  }
  release() {
    clearInterval(this.clock);
    clearTimeout(this.later);
    cancelAnimationFrame(this.due);
    for (const [name, act] of Object.entries(this.heard)) this.model.off(name, act);
  }
}

function render({ model, el }) {
  const root = make("div");
  el.append(root);
  const volume = new Volume(model, root);
  root.viewer = volume;
  return () => volume.release();
}

export default { render };
