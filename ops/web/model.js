// The last ten minutes, as the server sends them: counts that only grow, and gauges. Rates
// are made here, so that a second that is missing makes no error.

const gap = 4000; // ms without a sample: nobody knows what was meanwhile

export class Model {
  constructor(hello) {
    this.columns = new Map(hello.columns.map((name, i) => [name, i]));
    this.kinds = hello.kinds;
    this.history = hello.history;
    this.samples = [];
  }

  get newest() {
    return this.samples[this.samples.length - 1];
  }

  add(samples) {
    for (const s of samples) {
      if (this.newest && s.t <= this.newest.t) this.samples = []; // the clock was set back
      this.samples.push(s);
    }
    const from = this.newest ? this.newest.t - this.history : 0;
    this.samples = this.samples.filter((s) => s.t >= from);
  }

  names(prefix) {
    return [...this.columns.keys()].filter((name) => name.startsWith(prefix));
  }

  value(sample, queue, column) {
    return sample.q[queue][this.columns.get(column)];
  }

  total(sample, queue, columns) {
    return columns.reduce((sum, c) => sum + this.value(sample, queue, c), 0);
  }

  // before returns the oldest sample of the last ms milliseconds.
  before(ms) {
    const { newest } = this;
    return this.samples.find((s) => s.t >= newest.t - ms - 500);
  }

  // grown returns by how much counts have grown in the last ms milliseconds.
  grown(queue, columns, ms) {
    return this.total(this.newest, queue, columns) - this.total(this.before(ms), queue, columns);
  }

  // rate returns by how much counts have grown per second; null: nobody knows yet.
  rate(queue, columns, ms) {
    const seconds = (this.newest.t - this.before(ms).t) / 1000;
    return seconds > 0 ? this.grown(queue, columns, ms) / seconds : null;
  }

  peak(queue, column) {
    return this.samples.reduce((most, s) => Math.max(most, this.value(s, queue, column)), 0);
  }

  span() {
    const to = this.newest.t;
    return [to - this.history, to];
  }

  // points returns what a chart shows: for each step of time the rate of counts ({ keys }), or
  // the highest value of a gauge ({ gauge }). Where samples are missing there is a gap.
  points(queue, rows, step) {
    const points = [];
    let group = [];
    let previous = null;
    const empty = (t) => points.push({ t, values: rows.map(() => null) });
    const flush = () => {
      const last = group[group.length - 1];
      if (!last) return;
      const from = previous ?? group[0];
      const seconds = (last.t - from.t) / 1000;
      if (seconds > 0 || rows.every((r) => r.gauge)) {
        points.push({ t: last.t, values: rows.map((r) => this.point(queue, r, from, group, seconds)) });
      }
      previous = last;
      group = [];
    };
    for (const s of this.samples) {
      const earlier = group[group.length - 1] ?? previous;
      if (earlier && s.t - earlier.t > gap) {
        flush();
        empty(earlier.t + 1);
        previous = null;
      } else if (group.length > 0 && Math.floor(s.t / step) !== Math.floor(group[0].t / step)) {
        flush();
      }
      group.push(s);
    }
    if (group.length * 1000 >= step / 2 || points.length === 0) flush();
    return points;
  }

  point(queue, row, from, group, seconds) {
    if (row.gauge) return Math.max(...group.map((s) => this.value(s, queue, row.gauge)));
    return (this.total(group[group.length - 1], queue, row.keys) - this.total(from, queue, row.keys)) / seconds;
  }

  // states returns what a queue did when: [{ from, to, kind }].
  states(queue) {
    const states = [];
    for (const s of this.samples) {
      const kind = this.kinds[this.value(s, queue, 'state')];
      const last = states[states.length - 1];
      if (last && s.t - last.to <= gap) last.to = s.t;
      if (last?.kind !== kind || s.t - last.to > gap) states.push({ from: s.t, to: s.t, kind });
    }
    return states;
  }
}
