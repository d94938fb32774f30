// Regions a person draws: rings with a name, a class and the annotator; every change can be taken back.
const ANNOTATOR_COLOURS = ["#F0E442", "#56B4E9", "#E69F00", "#CC79A7", "#009E73", "#D55E00"];

function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = bytes[6] & 15 | 64;
  bytes[8] = bytes[8] & 63 | 128;
  return [...bytes].map((b, i) => ([4, 6, 8, 10].includes(i) ? "-" : "") + b.toString(16).padStart(2, "0")).join("");
}

class Regions {
  constructor(app) {
    this.app = app;
    this.past = [];
    this.load();
  }
  load() {
    this.list = structuredClone(this.app.model.get("_regions") ?? []);
    this.saved = structuredClone(this.list);
  }
  get annotators() {
    return [...new Set(this.list.map((one) => one.annotator))].sort();
  }
  colourOf(region) {
    return ANNOTATOR_COLOURS[this.annotators.indexOf(region.annotator) % ANNOTATOR_COLOURS.length];
  }
  add(ring, extra = {}) {
    const annotator = this.app.model.get("annotator") ?? "";
    this.list.push({ id: newId(), name: `region ${this.list.length + 1}`, classification: "", annotator, rings: [ring], ...extra });
    this.commit();
  }
  remove(id) {
    this.list = this.list.filter((one) => one.id !== id);
    this.commit();
  }
  commit() {
    this.past.push(this.saved);
    this.save();
  }
  undo() {
    if (!this.past.length) return;
    this.list = this.past.pop();
    this.save();
  }
  save() {
    this.saved = structuredClone(this.list);
    this.own = true;
    this.app.model.set("_regions", structuredClone(this.list));
    this.app.model.save_changes();
    this.own = false;
    this.app.regionsChanged();
  }
  // Takes hold of the corner under the pointer, or makes one where it is on an edge; with Alt a corner is removed.
  hold(point, pixel, pane, takeAway) {
    for (const region of this.list) {
      for (const ring of region.rings) {
        const at = ring.findIndex((p) => pane.near(p, pixel));
        if (at >= 0 && takeAway && ring.length > 3) ring.splice(at, 1);
        if (at >= 0) return { ring, at: takeAway ? -1 : at };
      }
    }
    for (const region of this.list) {
      for (const ring of region.rings) {
        for (let i = 0; i < ring.length; i++) {
          const foot = footOn(ring[i], ring[(i + 1) % ring.length], point);
          if (!pane.near(foot, pixel)) continue;
          ring.splice(i + 1, 0, foot);
          return { ring, at: i + 1 };
        }
      }
    }
    return null;
  }
}

function footOn([xa, ya], [xb, yb], [x, y]) {
  const length = (xb - xa) ** 2 + (yb - ya) ** 2;
  const t = length ? Math.max(0, Math.min(1, ((x - xa) * (xb - xa) + (y - ya) * (yb - ya)) / length)) : 0;
  return [xa + t * (xb - xa), ya + t * (yb - ya)];
}
