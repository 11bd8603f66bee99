// A chart of the last minutes: lines over time, with axes, and the values under a finger or
// a pointer. It is SVG, so that its colours are those of the style sheet, light or dark.

import { minute, number, second, tick } from './format.js';

const svgNames = 'http://www.w3.org/2000/svg';
const margin = { left: 46, right: 10, top: 8, bottom: 22 };

function svg(name, attributes = {}, parent) {
  const node = document.createElementNS(svgNames, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent?.append(node);
  return node;
}

function html(name, className, parent) {
  const node = document.createElement(name);
  node.className = className;
  parent?.append(node);
  return node;
}

// ceiling returns the end of an axis that holds v: its half is a round number too.
export function ceiling(v, least) {
  const wanted = Math.max(v, least);
  const power = 10 ** Math.floor(Math.log10(wanted));
  for (const step of [1, 2, 4, 6, 8, 10]) {
    if (wanted <= step * power * 1.0001) return step * power;
  }
  return 10 * power;
}

export class Chart {
  // options: title, unit, series: [{ name, style, area }], least: end of the axis at least,
  // format: of values, strip: whether states are shown under the lines.
  constructor(root, options) {
    this.root = root;
    this.options = { least: 1, format: number, ...options };
    const head = html('div', 'chart-head', root);
    const title = html('h3', '', head);
    title.append(options.title, ' ');
    html('small', '', title).textContent = options.unit;
    this.note = html('span', 'chart-note', head);
    const legend = html('ul', 'legend', root);
    for (const s of options.series) {
      const item = html('li', s.style, legend);
      html('i', '', item);
      item.append(s.name);
    }
    this.box = html('div', 'chart-box', root);
    this.box.tabIndex = 0;
    this.svg = svg('svg', { role: 'img' }, this.box);
    this.grid = svg('g', { class: 'grid' }, this.svg);
    this.states = svg('g', { class: 'states' }, this.svg);
    this.bound = svg('path', { class: 'bound' }, this.svg);
    this.paths = options.series.map((s) => ({
      area: s.area ? svg('path', { class: `area ${s.style}` }, this.svg) : null,
      line: svg('path', { class: `line ${s.style}` }, this.svg),
    }));
    this.rule = svg('path', { class: 'rule' }, this.svg);
    this.empty = html('p', 'chart-empty', this.box);
    this.tip = html('div', 'tip', this.box);
    this.tip.hidden = true;
    this.onhover = () => {};
    this.listen();
    new ResizeObserver(() => this.render()).observe(this.box);
  }

  listen() {
    const at = (event) => {
      const x = event.clientX - this.box.getBoundingClientRect().left;
      this.onhover(this.time(x));
    };
    this.box.addEventListener('pointermove', at);
    this.box.addEventListener('pointerdown', at);
    this.box.addEventListener('pointerleave', (event) => {
      if (event.pointerType === 'mouse') this.onhover(null);
    });
    this.box.addEventListener('blur', () => this.onhover(null));
    this.box.addEventListener('keydown', (event) => this.key(event));
  }

  // key moves the rule by the arrow keys.
  key(event) {
    const points = this.data?.points ?? [];
    if (event.key === 'Escape') this.onhover(null);
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || points.length === 0) return;
    event.preventDefault();
    const now = this.nearest(this.hover ?? points[points.length - 1].t);
    this.onhover(points[Math.min(points.length - 1, Math.max(0, now + step))].t);
  }

  // draw shows data: points: [{ t, values: [a number or null for each series] }] in the order
  // of time, from and to: the ends of the axis, bound: a line; null: none, states: [{ from, to, kind }].
  draw(data) {
    this.data = data;
    this.render();
  }

  // point shows the values at a time; null: none.
  point(t) {
    this.hover = t;
    this.renderHover();
  }

  // step returns how far apart points may be so that they can be told from each other.
  step(span) {
    const wide = Math.max(100, (this.box.clientWidth || 600) - margin.left - margin.right);
    return Math.max(2000, Math.ceil((span * 4) / wide / 1000) * 1000);
  }

  render() {
    const { box, data } = this;
    const width = box.clientWidth;
    const height = box.clientHeight;
    if (!data || width === 0) return;
    this.width = width;
    this.height = height;
    this.svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    const values = data.points.flatMap((p) => p.values.filter((v) => v !== null));
    this.top = ceiling(Math.max(0, ...values, data.bound ?? 0), this.options.least);
    this.renderGrid();
    this.renderStates();
    this.paths.forEach((path, i) => this.renderSeries(path, i));
    this.bound.setAttribute('d', data.bound === null || data.bound === undefined ? '' : `M${margin.left} ${this.y(data.bound)}H${width - margin.right}`);
    this.empty.textContent = data.points.length < 2 ? 'The history begins now.' : '';
    const newest = data.points[data.points.length - 1];
    this.svg.setAttribute('aria-label', `${this.options.title}, ${this.options.unit}. Now: ${newest ? this.say(newest) : 'nothing'}`);
    this.renderHover();
  }

  say(point) {
    return this.options.series.map((s, i) => `${s.name} ${this.options.format(point.values[i])}`).join(', ');
  }

  x(t) {
    const { from, to } = this.data;
    return margin.left + ((t - from) / (to - from)) * (this.width - margin.left - margin.right);
  }

  time(x) {
    const { from, to } = this.data;
    return from + ((x - margin.left) / (this.width - margin.left - margin.right)) * (to - from);
  }

  y(v) {
    const bottom = this.height - margin.bottom;
    return Math.round((bottom - (v / this.top) * (bottom - margin.top)) * 10) / 10;
  }

  renderGrid() {
    const { grid, data, width, height } = this;
    grid.replaceChildren();
    for (const v of [0, this.top / 2, this.top]) {
      const y = this.y(v);
      svg('path', { d: `M${margin.left} ${Math.round(y) + 0.5}H${width - margin.right}`, class: v === 0 ? 'axis' : '' }, grid);
      svg('text', { x: margin.left - 8, y: y + 4, 'text-anchor': 'end' }, grid).textContent = tick(v);
    }
    const minutes = [1, 2, 5].find((m) => (width - margin.left - margin.right) / (((data.to - data.from) / 60000) / m) > 64) ?? 5;
    const every = minutes * 60000;
    for (let t = Math.ceil(data.from / every) * every; t <= data.to; t += every) {
      const x = Math.round(this.x(t)) + 0.5;
      svg('path', { d: `M${x} ${height - margin.bottom}v4`, class: 'axis' }, grid);
      const end = x > width - 26 ? 'end' : x < margin.left + 16 ? 'start' : 'middle';
      svg('text', { x: end === 'end' ? width - 2 : x, y: height - 4, 'text-anchor': end }, grid).textContent = minute(t);
    }
  }

  // renderStates shades what was not as usual.
  renderStates() {
    this.states.replaceChildren();
    for (const s of this.data.states ?? []) {
      const x = Math.max(margin.left, this.x(s.from));
      const end = Math.min(this.width - margin.right, this.x(s.to));
      if (end > x + 1) {
        svg('rect', { x, y: margin.top, width: end - x, height: this.height - margin.top - margin.bottom, class: `shade k-${s.kind}` }, this.states);
      }
    }
  }

  renderSeries(path, i) {
    let line = '';
    let area = '';
    const base = this.y(0);
    let began = null;
    let last = null;
    const close = () => {
      if (began !== null) area += `L${last} ${base}L${began} ${base}Z`;
      began = null;
    };
    for (const p of this.data.points) {
      const v = p.values[i];
      if (v === null) {
        close();
        continue;
      }
      const x = Math.round(this.x(p.t) * 10) / 10;
      const move = `${began === null ? 'M' : 'L'}${x} ${this.y(v)}`;
      line += move;
      area += move;
      began ??= x;
      last = x;
    }
    close();
    path.line.setAttribute('d', line);
    path.area?.setAttribute('d', area);
  }

  nearest(t) {
    const { points } = this.data;
    let best = 0;
    points.forEach((p, i) => {
      if (Math.abs(p.t - t) < Math.abs(points[best].t - t)) best = i;
    });
    return best;
  }

  renderHover() {
    const points = this.data?.points ?? [];
    const show = this.hover !== null && this.hover !== undefined && points.length > 1;
    this.tip.hidden = !show;
    if (!show) {
      this.rule.setAttribute('d', '');
      return;
    }
    const p = points[this.nearest(this.hover)];
    const x = this.x(p.t);
    this.rule.setAttribute('d', `M${x} ${margin.top}V${this.height - margin.bottom}`);
    this.tip.replaceChildren();
    html('b', '', this.tip).textContent = second(p.t);
    this.options.series.forEach((s, i) => {
      const row = html('span', s.style, this.tip);
      html('i', '', row);
      row.append(s.name);
      html('em', '', row).textContent = this.options.format(p.values[i]);
    });
    const wide = this.tip.offsetWidth;
    const left = x + 12 + wide > this.width ? x - 12 - wide : x + 12;
    this.tip.style.transform = `translate(${Math.max(0, Math.round(left))}px, ${margin.top}px)`;
  }
}
