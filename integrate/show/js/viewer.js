// The viewer: what the kernel said, what is chosen, and the panes that show it.
class Viewer {
  constructor(model, root) {
    this.started = performance.now();
    this.model = model;
    this.root = root;
    this.spec = model.get("_spec");
    this.mode = model.get("mode");
    this.channels = structuredClone(model.get("_channels"));
    this.shown = { labels: true, outlines: true, cells: true, regions: true };
    this.blink = 0;
    this.painter = new Painter();
    this.tiles = new Tiles(this);
    this.places = floats(model.get("_places"));
    this.embedding = floats(model.get("_embedding"));
    this.selection = new Selection(this, this.places.length / 2);
    this.chosen = this.painter.buffer(this.selection.chosen);
    this.valueBuffer = this.painter.buffer(new Float32Array(this.places.length / 2));
    this.readColours();
    this.outlines = this.readOutlines();
    this.regions = new Regions(this);
    this.dark = matchMedia("(prefers-color-scheme: dark)").matches || !!document.querySelector('[data-jp-theme-light="false"]');
    this.build();
    this.selection.load();
    this.listen();
    this.askLimits();
    this.setMode(this.mode);
  }
  build() {
    this.image = new ImagePane(this);
    this.panes = [this.image];
    this.controls = new Controls(this);
    this.legend = make("div", { class: "ig-legend" });
    this.count = make("div", { class: "ig-count", role: "status" });
    const side = make("div", { class: "ig-side" });
    if (this.embedding.length) {
      this.scatter = new ScatterPane(this, this.embedding);
      this.panes.push(this.scatter);
      side.append(this.scatter.canvas);
    }
    if (this.places.length) {
      this.histogram = new Histogram(this);
      side.append(this.histogram.canvas, this.legend, this.count);
    }
    const main = make("div", { class: "ig-main", style: `height:${this.spec.height}px` }, make("div", { class: "ig-image-box" }, this.image.canvas));
    if (side.children.length) main.append(side);
    const foot = make("div", { class: "ig-foot" }, this.controls.where, this.controls.note);
    this.root.classList.add("ig-viewer");
    this.root.append(this.controls.bar, main, foot, this.controls.element);
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(main);
    this.recolour();
    this.selectionChanged();
  }
  resize() {
    const fit = (pane) => pane.resize(pane.canvas.clientWidth, pane.canvas.clientHeight);
    this.panes.forEach(fit);
    if (this.histogram) fit(this.histogram);
  }
  listen() {
    const on = (name, act) => this.model.on(name, this.heard[name] = act);
    this.heard = {};
    on("msg:custom", (message, buffers) => this.receive(message, buffers));
    on("change:_channels", () => { this.channels = structuredClone(this.model.get("_channels")); this.controls.listChannels(); this.drawAll(); });
    on("change:_colouring", () => { this.readColours(); this.recolour(); });
    on("change:_selection", () => this.selection.load());
    on("change:_regions", () => { if (!this.regions.own) { this.regions.load(); this.regionsChanged(); } });
    on("change:annotator", () => this.controls.listRegions());
    on("change:mode", () => this.setMode(this.model.get("mode")));
  }
  receive(message, buffers) {
    if (message.type === "tiles") {
      this.tiles.receive(message.tiles, buffers);
      this.image.draw();
    } else if (message.type === "failed") {
      this.tiles.fail(message.keys);
      this.say(message.text);
    } else if (message.type === "note") this.say(message.text);
    else if (message.type === "outline") this.regions.add(message.ring);
    else if (message.type === "look") this.look(message.centre, message.width);
    else if (message.type === "snapshot") this.snapshot(message.ticket);
  }
  say(text, kind = "note") {
    this.controls.note.textContent = text;
    this.controls.note.dataset.kind = kind;
  }
  unsay(kind) {
    if (this.controls.note.dataset.kind === kind) this.say("");
  }
  tell([x, y]) {
    const { pixel_um: um, aspect } = this.spec;
    const length = um ? ` (${(x * um).toFixed(1)}, ${(y * um).toFixed(1)} µm)` : "";
    this.controls.where.textContent = `x ${Math.floor(x)}, y ${Math.floor(y / aspect)} px${length}`;
  }
  // --- images
  imagesShown() {
    const two = this.spec.images.length > 1;
    if (this.mode === "blink" && two) return [{ image: this.blink, checker: [0, 0] }];
    if (this.mode === "checker" && two) return [0, 1].map((k) => ({ image: k, checker: [48 * (window.devicePixelRatio || 1), k ^ this.blink] }));
    return this.spec.images.map((_, image) => ({ image, checker: [0, 0] }));
  }
  setMode(mode) {
    this.mode = mode;
    clearInterval(this.clock);
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (mode === "blink" && !calm) this.clock = setInterval(() => this.flip(), 800);
    if (this.controls.mode) this.controls.mode.value = mode;
    if (this.model.get("mode") !== mode) { this.model.set("mode", mode); this.model.save_changes(); }
    this.drawAll();
  }
  flip() {
    this.blink = 1 - this.blink;
    this.image.draw();
  }
  setChannel(at, change, final) {
    Object.assign(this.channels[at], change);
    this.image.draw();
    if (!final) return;
    this.model.set("_channels", structuredClone(this.channels));
    this.model.save_changes();
    this.askLimits();
  }
  waitsForLimits() { return this.channels.some((one) => one.on && one.low === null); }
  askLimits() {
    const at = this.channels.flatMap((one, i) => (one.on && one.low === null ? [i] : []));
    if (at.length) this.model.send({ type: "limits", channels: at });
  }
  // --- cells
  cellLook() {  // how cells are drawn, wherever they lie
    const { colouring } = this;
    return { values: this.valueBuffer, chosen: this.chosen, any: this.selection.any,
      range: colouring.kind === "category" ? [0, 255] : [colouring.low, colouring.high] };
  }
  dotSize(count, bounds, scale) {  // as large as leaves gaps between the cells
    const apart = Math.sqrt((bounds[2] - bounds[0]) * (bounds[3] - bounds[1]) / count) / scale;
    return Math.max(count > 2e5 ? 1.5 : 3, Math.min(14, .6 * apart)) * (window.devicePixelRatio || 1);
  }
  readColours() {
    this.colouring = this.model.get("_colouring");
    const given = floats(this.model.get("_values"));
    this.values = given.length ? given : new Float32Array(this.places.length / 2);
    for (let i = 0; i < this.values.length; i++) if (Number.isNaN(this.values[i])) this.values[i] = NO_VALUE;
    this.painter.refill(this.valueBuffer, this.values);
    this.painter.setColours({ colours: this.colouring.colours, scale: this.colouring.kind === "number" });
  }
  recolour() {
    this.histogram?.recount();
    const { colouring, legend } = this;
    if (this.controls.colour) this.controls.colour.value = colouring.name ?? "";
    const swatch = (colour, text) => make("span", {}, make("i", { class: "ig-swatch", style: `background:${colour}` }), text);
    if (colouring.kind === "category") legend?.replaceChildren(...colouring.categories.map((name, i) => swatch(colouring.colours[i], name)));
    else if (colouring.name) {
      const round = (v) => String(+v.toPrecision(4));
      legend?.replaceChildren(make("span", {}, round(colouring.low)),
        make("i", { class: "ig-scale", style: `background:linear-gradient(90deg,${colouring.colours.join(",")})` }), make("span", {}, round(colouring.high)));
    } else legend?.replaceChildren();
    if (colouring.missing) legend?.append(swatch("#9ea6ad", `${colouring.missing.toLocaleString("en")} without a value`));
    this.drawAll();
  }
  selectionChanged() {
    this.painter.refill(this.chosen, this.selection.chosen);
    this.histogram?.chosenChanged();
    const n = (k) => k.toLocaleString("en");
    if (this.count) this.count.textContent = `${n(this.selection.total)} of ${n(this.selection.count)} cells selected`;
    this.drawAll();
  }
  // --- outlines and regions
  readOutlines() {
    const places = floats(this.model.get("_outlines")), ends = new Uint32Array(floats(this.model.get("_outline_ends")).buffer);
    if (!ends.length) return null;
    const order = new Uint32Array(places.length / 2 + 2 * ends.length);
    let k = 0, start = 0;
    for (const end of ends) {  // each ring closed, then a restart
      for (let i = start; i < end; i++) order[k++] = i;
      order[k++] = start;
      order[k++] = 0xFFFFFFFF;
      start = end;
    }
    return { places: this.painter.buffer(places), order: this.painter.buffer(order, this.painter.gl.ELEMENT_ARRAY_BUFFER), count: k };
  }
  regionsChanged() {
    this.controls.listRegions();
    this.image.draw();
  }
  refine(ring) {
    const on = this.channels.findIndex((one) => one.on);
    this.say("Looking for the outline …");
    this.model.send({ type: "refine", ring, channel: Math.max(on, 0), method: this.controls.finder.value });
  }
  // --- the whole
  look([x, y], width) {
    this.image.centre = [x, y];
    this.image.scale = width / this.image.width;
    this.image.moved();
  }
  fitAll() { this.panes.forEach((pane) => pane.fit()); }
  drawAll() { this.panes?.forEach((pane) => pane.draw()); }
  reportView() {
    clearTimeout(this.later);
    this.later = setTimeout(() => { this.model.set("_window", this.image.view()); this.model.save_changes(); }, 300);
  }
  picture() {  // the panes side by side, as they are shown
    this.panes.forEach((pane) => pane.paint());
    const width = this.panes.reduce((sum, pane) => sum + pane.width, 0), height = Math.max(...this.panes.map((p) => p.height));
    const whole = make("canvas", { width, height }), context = whole.getContext("2d");
    context.fillStyle = this.dark ? "#16191d" : "#fff";
    context.fillRect(0, 0, width, height);
    let x = 0;
    for (const pane of this.panes) { context.drawImage(pane.canvas, x, 0); x += pane.width; }
    return new Promise((done) => whole.toBlob(done, "image/png"));
  }
  async snapshot(ticket) {
    const bytes = await (await this.picture()).arrayBuffer();
    this.model.send({ type: "snapshot", ticket }, undefined, [bytes]);
  }
  async download() {
    const url = URL.createObjectURL(await this.picture());
    make("a", { href: url, download: "view.png" }).click();
    URL.revokeObjectURL(url);
  }
  release() {
    for (const [name, act] of Object.entries(this.heard)) this.model.off(name, act);
    clearInterval(this.clock);
    clearTimeout(this.later);
    this.tiles.stop();
    this.sizes.disconnect();
    this.painter.release();
    this.painter = null;
  }
}

function render({ model, el }) {
  let app;
  const root = make("div");
  el.append(root);
  try {
    app = new Viewer(model, root);
  } catch (error) {
    root.textContent = `The viewer could not start: ${error.message}. \`integrate doctor\` says what is missing; ig.plot draws without it.`;
    return undefined;
  }
  root.viewer = app;  // for the console and for tests
  return () => app.release();
}

export default { render };
