// What the page shows of one queue.

import { Chart } from './chart.js';
import { bytes, count, duration, durationParts, none, number, second, share } from './format.js';

// Why batches were handed over: name, columns and explanation.
const reasons = [
  ['full', ['batches.full'], 'it had BatchSize messages'],
  ['wait time was over', ['batches.wait time'], 'its first message had waited for WaitTime'],
  ['bytes, or no room', ['batches.bytes'], 'the next message would have made it larger than BatchBytes, or there was no room for another one'],
  ['the run ended', ['batches.drained', 'batches.stopping'], 'the queue was empty in a Drain, or the run was ending'],
];
const totals = [
  ['received', 'Received'],
  ['duplicates', 'Received while in hand'],
  ['succeeded', 'Succeeded'],
  ['failed', 'Failed'],
  ['panics', 'Handler calls that panicked'],
  ['deleted', 'Deleted'],
  ['givenBack', 'Given back'],
  ['deadLettered', 'Dead-lettered'],
  ['leasesLost', 'Leases lost'],
  ['unsettled', 'Unsettled'],
  ['hooksDropped', 'Hook calls and log lines dropped'],
];
const calls = [
  ['ReceiveMessage', 'receive', 's-in'],
  ['DeleteMessageBatch', 'delete', 's-out'],
  ['ChangeMessageVisibilityBatch', 'visibility', 's-third'],
  ['SendMessage', 'dead letter', 's-fourth'],
];
// Kinds of state that are shaded in the charts.
const unusual = new Set(['behind', 'paused', 'backing-off', 'refused', 'stopping', 'stopped']);

export class Card {
  constructor(queue, model, index, act) {
    this.queue = queue;
    this.model = model;
    this.index = index;
    this.root = document.getElementById('queue').content.firstElementChild.cloneNode(true);
    this.root.id = `queue-${index}`;
    this.fields = {};
    for (const node of this.root.querySelectorAll('[data-text]')) this.fields[node.dataset.text] = node;
    this.text('name', queue.name);
    this.text('type', queue.fifo ? 'FIFO' : '');
    this.root.classList.toggle('single', queue.options.BatchSize === 1);
    this.button = this.root.querySelector('.action');
    this.button.addEventListener('click', () => act(this.button.dataset.action, index, queue.name));
    this.charts();
    this.options();
  }

  charts() {
    const place = (name) => this.root.querySelector(`[data-chart=${name}]`);
    const dead = this.queue.options.DeadLetterQueueURL !== '';
    this.calls = calls.filter(([op]) => dead || op !== 'SendMessage');
    this.rates = new Chart(place('rates'), {
      title: 'Messages', unit: 'per second',
      series: [
        { name: 'received', style: 's-in' },
        { name: 'succeeded', style: 's-out', area: true },
        { name: 'failed', style: 's-failed' },
      ],
    });
    this.slots = new Chart(place('slots'), {
      title: 'Busy handlers', unit: `of ${count(this.queue.options.Concurrency)}`, least: 2, format: count,
      series: [{ name: 'handler calls', style: 's-out', area: true }],
    });
    this.callChart = new Chart(place('calls'), {
      title: 'Calls to SQS', unit: 'per second',
      series: [...this.calls.map(([, name, style]) => ({ name, style })), { name: 'errors', style: 's-failed' }],
    });
    this.all = [this.rates, this.slots, this.callChart];
    for (const chart of this.all) {
      chart.onhover = (t) => this.all.forEach((c) => c.point(t));
    }
  }

  options() {
    const table = this.root.querySelector('[data-table=options]');
    for (const [name, value] of Object.entries(this.queue.options)) {
      row(table, name, Array.isArray(value) ? value.join(', ') || 'none' : value === '' ? 'none' : String(value));
    }
    const counts = this.root.querySelector('[data-table=counts]');
    this.totals = totals.map(([key, name]) => [key, row(counts, name, '')]);
    for (const op of calls) this.totals.push([`calls.${op[0]}`, row(counts, op[0], ''), `errors.${op[0]}`]);
  }

  text(field, value) {
    const node = this.fields[field];
    if (node.textContent !== value) node.textContent = value;
  }

  // show shows a state and the newest numbers.
  show(state, actions) {
    const { model, index } = this;
    const now = model.newest;
    if (!now) return;
    this.root.dataset.kind = state.kind;
    this.text('label', state.label);
    this.text('since', state.since ? `${state.kind === 'idle' ? 'no message for' : 'for'} ${duration(now.t - state.since)}` : '');
    this.text('why', state.why);
    this.text('error', state.error);
    this.fields.error.hidden = state.error === '';
    this.action(state, actions);
    this.figures();
    this.held();
    this.batches();
    this.counts();
    for (const [key, node, errors] of this.totals) {
      let text = count(model.value(now, index, key));
      if (errors) text += `, ${count(model.value(now, index, errors))} failed`;
      if (node.textContent !== text) node.textContent = text;
    }
    this.draw();
  }

  action(state, actions) {
    const resume = state.kind === 'paused';
    this.button.hidden = !actions || state.kind === 'stopped' || state.kind === 'stopping';
    this.button.textContent = resume ? 'Resume' : 'Pause';
    this.button.dataset.action = resume ? 'resume' : 'pause';
  }

  // figures shows what the last ten seconds were like, and what calls cost in the last minute.
  figures() {
    const { model, index } = this;
    const rate = (...keys) => model.rate(index, keys, 10_000);
    this.text('in', number(rate('received')));
    this.text('out', number(rate('succeeded')));
    this.text('failed', number(rate('failed')));
    const done = model.grown(index, ['succeeded', 'failed'], 60_000);
    const failed = model.grown(index, ['failed'], 60_000);
    this.text('failedShare', done > 0 ? share(failed, done) : '');
    this.root.classList.toggle('failing', rate('failed') > 0);
    const lag = model.value(model.newest, index, 'lag');
    const [value, unit] = lag > 0 ? durationParts(lag) : [none, ''];
    this.text('lag', value);
    this.text('lagUnit', unit);
    const operations = calls.map(([op]) => `calls.${op}`);
    this.text('calls', number(model.rate(index, operations, 60_000)));
    const messages = model.grown(index, ['received'], 60_000);
    const made = model.grown(index, operations, 60_000);
    this.text('callsEach', messages > 0 ? `${number(made / messages)} for each message` : '');
  }

  held() {
    const { model, index, queue } = this;
    const value = (key) => model.value(model.newest, index, key);
    this.meter('handlers', value('handlers'), queue.options.Concurrency, count);
    this.meter('bytes', value('bytes'), queue.options.BytesInFlight, bytes);
    this.meter('receives', value('receives'), queue.options.Receivers, count);
    this.text('inFlight', count(value('inFlight')));
    this.text('oldest', value('oldest') > 0 ? duration(value('oldest')) : none);
  }

  meter(name, value, bound, format) {
    const node = this.root.querySelector(`[data-meter=${name}]`);
    node.querySelector('.value').textContent = `${format(value)} of ${format(bound)}`;
    node.querySelector('u').style.width = `${Math.min(100, (100 * value) / bound)}%`;
    node.classList.toggle('full', value >= bound);
  }

  batches() {
    const { model, index, queue } = this;
    const made = model.grown(index, model.names('batches.'), 60_000);
    const messages = model.grown(index, ['batchMessages'], 60_000);
    this.text('batchSize', made > 0 ? `${number(messages / made)} of ${count(queue.options.BatchSize)}` : `${none} of ${count(queue.options.BatchSize)}`);
    this.shares('reasons', reasons.map(([name, keys, title]) => ({ name, title, value: model.grown(index, keys, 60_000) })), made);
  }

  counts() {
    const { model, index } = this;
    const names = model.names('receiveCount.');
    const values = names.map((key) => model.value(model.newest, index, key));
    const rows = [0, 1, 2].map((i) => ({ name: ['first time', 'second', 'third'][i], value: values[i] }));
    rows.push({ name: '4th to 9th', value: sum(values.slice(3, 9)) }, { name: '10th and later', value: values[9] });
    this.shares('counts', rows, sum(values));
  }

  // shares shows rows with a bar each. Their nodes stay, so that nothing moves.
  shares(name, rows, whole) {
    const root = this.root.querySelector(`[data-shares=${name}]`);
    if (root.children.length === 0) {
      for (const r of rows) {
        const node = document.createElement('div');
        node.className = 'share';
        if (r.title) node.title = r.title;
        node.append(element('span', r.name), element('span', '', 'value'), element('i', ''));
        node.lastChild.append(document.createElement('u'));
        root.append(node);
      }
    }
    rows.forEach((r, i) => {
      const node = root.children[i];
      node.querySelector('.value').textContent = whole > 0 ? share(r.value, whole) : none;
      node.querySelector('u').style.width = `${whole > 0 ? (100 * r.value) / whole : 0}%`;
      node.classList.toggle('zero', !(r.value > 0));
    });
  }

  // failures shows the newest failures. Their texts are somebody's, and are shown as text.
  failures(list) {
    const root = this.root.querySelector('.failures');
    root.querySelector('.empty').hidden = list.length > 0;
    root.querySelector('ol').replaceChildren(...list.map((f) => {
      const item = document.createElement('li');
      const time = element('time', second(f.last));
      time.dateTime = new Date(f.last).toISOString();
      item.append(time, element('span', operation(f.operation), 'operation'), element('span', f.count > 1 ? `× ${count(f.count)}` : '', 'count'));
      item.append(element('p', f.text || 'an error without a text'));
      if (f.messageId) item.append(element('code', `message ${f.messageId}`));
      return item;
    }));
  }

  draw() {
    const { model, index } = this;
    const states = model.states(index).filter((s) => unusual.has(s.kind));
    const [from, to] = model.span();
    const show = (chart, rows, bound) => {
      const points = model.points(index, rows, chart.step(to - from));
      chart.draw({ points, from, to, bound, states });
    };
    show(this.rates, [{ keys: ['received'] }, { keys: ['succeeded'] }, { keys: ['failed'] }], null);
    const most = this.queue.options.Concurrency;
    const peak = model.peak(index, 'handlers');
    show(this.slots, [{ gauge: 'handlers' }], most <= Math.max(12, 5 * peak) ? most : null);
    const oldest = model.value(model.newest, index, 'oldest');
    this.slots.note.textContent = oldest > 0 ? `oldest ${duration(oldest)}` : '';
    const errors = { keys: calls.map(([op]) => `errors.${op}`) };
    show(this.callChart, [...this.calls.map(([op]) => ({ keys: [`calls.${op}`] })), errors], null);
  }
}

function element(name, text, className = '') {
  const node = document.createElement(name);
  node.textContent = text;
  if (className) node.className = className;
  return node;
}

function row(table, name, value) {
  const group = document.createElement('div');
  const cell = element('dd', value);
  group.append(element('dt', name), cell);
  table.append(group);
  return cell;
}

function sum(values) {
  return values.reduce((a, b) => a + b, 0);
}

function operation(name) {
  return { Handler: 'handler', Lease: 'lease lost' }[name] ?? name;
}
