// Buttons, lists and sliders around the panes: native elements, so that keys and screen readers reach all of them.
const TOOLS = [
  ["pan", "Move", "Drag moves, the wheel zooms"],
  ["lasso", "Lasso", "Drag around cells; Ctrl adds, Alt takes away"],
  ["box", "Box", "Drag a box over cells; Ctrl adds, Alt takes away"],
  ["draw", "Draw", "Drag freely, or click corners and press Enter"],
  ["edit", "Edit", "Drag corners; a click on an edge makes one, Alt takes one away"],
  ["refine", "Outline", "Drag a box around an object; its outline is found"],
];
const MODES = [["overlay", "Overlay"], ["side", "Side by side"], ["blink", "Blink"], ["checker", "Checkerboard"]];
const FINDERS = [["threshold", "by threshold"], ["flood", "from the middle"], ["contour", "active contour"]];

class Controls {
  constructor(app) {
    this.app = app;
    this.tools = TOOLS.filter(([name]) => app.places.length || !["lasso", "box"].includes(name)).map(([name, text, title]) =>
      make("button", { type: "button", title, "data-tool": name, onclick: () => this.choose(name) }, text));
    this.note = make("span", { class: "ig-note", role: "status", "aria-live": "polite" });
    this.where = make("span", { class: "ig-where" });
    this.bar = make("div", { class: "ig-bar", role: "toolbar", "aria-label": "Viewer tools" }, ...this.tools, ...this.more());
    this.channelList = make("div", { class: "ig-channels", role: "group", "aria-label": "Channels" });
    this.regionList = make("div", { class: "ig-regions", role: "group", "aria-label": "Regions" });
    this.layers = make("div", { class: "ig-layers", role: "group", "aria-label": "Layers" }, ...this.switches());
    this.element = make("div", { class: "ig-panel" }, this.layers, this.channelList, this.regionList);
    this.choose("pan");
    this.listChannels();
    this.listRegions();
  }
  choose(tool) {
    this.app.tool = tool;
    for (const button of this.tools) button.setAttribute("aria-pressed", button.dataset.tool === tool);
    this.app.drawAll?.();
  }
  select(label, options, value, act) {
    const list = make("select", { title: label, "aria-label": label, onchange: () => act(list.value) },
      ...options.map(([name, text]) => make("option", { value: name, textContent: text })));
    list.value = value;
    return list;
  }
  more() {
    const { app } = this, made = [];
    this.finder = this.select("How outlines are found", FINDERS, "threshold", () => {});
    made.push(this.finder);
    if (app.spec.images.length > 1) {
      this.mode = this.select("How two images are compared", MODES, app.mode, (mode) => app.setMode(mode));
      made.push(this.mode, make("button", { type: "button", title: "Show the other image", onclick: () => app.flip() }, "Flip"));
    }
    if (app.spec.colour_names.length) {
      const options = make("datalist", { id: `ig-${newId()}` }, ...app.spec.colour_names.map((name) => make("option", { value: name })));
      this.colour = make("input", { class: "ig-colour", placeholder: "colour cells by …", "aria-label": "Colour cells by",
        list: options.id, value: app.colouring.name ?? "",
        onchange: () => app.model.send({ type: "colour", name: this.colour.value }) });
      made.push(this.colour, options);
    }
    made.push(make("button", { type: "button", title: "Show all", onclick: () => app.fitAll() }, "Fit"));
    made.push(make("button", { type: "button", title: "Save what is shown as PNG", onclick: () => app.download() }, "PNG"));
    return made;
  }
  switches() {
    const { app } = this, texts = { labels: "labels", outlines: "outlines", cells: "cells", regions: "regions" };
    const present = { labels: app.spec.labels, outlines: app.model.get("_outlines")?.byteLength, cells: app.places.length, regions: true };
    return Object.entries(texts).filter(([name]) => present[name]).map(([name, text]) => make("label", {},
      make("input", { type: "checkbox", checked: true, "data-layer": name,
        onchange: (event) => { app.shown[name] = event.target.checked; app.drawAll(); } }), text));
  }
  listChannels() {
    const head = ["", "", "black", "full", "gamma"].map((text) => make("span", {}, text));
    this.channelList.replaceChildren(make("div", { class: "ig-channel ig-head", "aria-hidden": "true" }, ...head), ...this.app.channels.map((one, at) => this.channelRow(one, at)));
  }
  channelRow(one, at) {
    const set = (change, final) => this.app.setChannel(at, change, final);
    const several = this.app.spec.images.length > 1;
    const name = several ? `${this.app.spec.images[one.image].name}: ${one.name}` : one.name;
    const known = one.low !== null, span = known ? one.max - one.min : 1;
    const slider = (key, least, most, value, title) => make("input", {
      type: "range", min: least, max: most, step: (most - least) / 500 || 1, value, title, disabled: !known,
      "aria-label": `${title} of ${name}`, "data-key": key,
      oninput: (event) => set({ [key]: +event.target.value }, false),
      onchange: (event) => set({ [key]: +event.target.value }, true),
    });
    return make("div", { class: "ig-channel", "data-channel": one.name },
      make("label", {}, make("input", { type: "checkbox", checked: one.on, onchange: (event) => set({ on: event.target.checked }, true) }), name),
      make("input", { type: "color", value: one.colour, title: "Colour", "aria-label": `Colour of ${name}`,
        oninput: (event) => set({ colour: event.target.value }, false), onchange: (event) => set({ colour: event.target.value }, true) }),
      slider("low", one.min ?? 0, known ? one.min + span : 1, one.low ?? 0, "Black"),
      slider("high", one.min ?? 0, known ? one.min + span : 1, one.high ?? 1, "Full"),
      slider("gamma", .2, 3, one.gamma, "Gamma"));
  }
  listRegions() {
    const { app } = this, { regions } = app;
    const ids = regions.list.map((one) => one.id).join(" ");
    if (ids !== this.listed) {  // not while somebody goes from field to field
      this.listed = ids;
      this.who = make("input", { class: "ig-annotator",
        onchange: () => { app.model.set("annotator", this.who.value); app.model.save_changes(); } });
      this.undo = make("button", { type: "button", onclick: () => regions.undo() }, "Undo");
      const head = make("div", { class: "ig-region" }, make("label", {}, "Annotator ", this.who), this.undo);
      this.rows = regions.list.map((region) => this.regionRow(region.id));
      this.regionList.replaceChildren(head, ...this.rows);
    }
    this.who.value = app.model.get("annotator") ?? "";
    this.undo.disabled = !regions.past.length;
    regions.list.forEach((region, i) => {
      for (const input of this.rows[i].querySelectorAll("input")) {
        if (input !== document.activeElement) input.value = region[input.dataset.key] ?? "";
      }
      this.rows[i].firstChild.style.background = regions.colourOf(region);
    });
  }
  regionRow(id) {
    const { regions } = this.app;
    const field = (key, label) => make("input", { placeholder: label, "aria-label": `${label} of the region`, "data-key": key,
      onchange: (event) => { regions.list.find((one) => one.id === id)[key] = event.target.value; regions.commit(); } });
    return make("div", { class: "ig-region", "data-region": id }, make("span", { class: "ig-swatch" }),
      field("name", "name"), field("classification", "class"), field("annotator", "annotator"),
      make("button", { type: "button", onclick: () => regions.remove(id) }, "Remove"));
  }
}
