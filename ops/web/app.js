// The page: one stream of events, one card for each queue.

import { Card } from './card.js';
import { duration, number, second } from './format.js';
import { Model } from './model.js';

const retry = 2000; // ms until the next try when the server is gone
const silence = 5000; // ms without an event after which the numbers are old

const page = {
  live: document.getElementById('live'),
  process: document.getElementById('process'),
  overview: document.getElementById('overview'),
  queues: document.getElementById('queues'),
};
let hello = null;
let model = null;
let cards = [];
let states = [];
let heard = 0; // when the last event came

function connect() {
  const source = new EventSource('events');
  const on = (name, f) => source.addEventListener(name, (event) => {
    heard = Date.now();
    f(JSON.parse(event.data));
  });
  on('hello', begin);
  on('failures', (lists) => cards.forEach((card, i) => card.failures(lists[i])));
  on('samples', (samples) => model.add(samples));
  on('now', (now) => {
    states = now;
    say('live', 'live');
    render();
  });
  source.addEventListener('error', () => {
    say('lost', model?.newest ? `no connection, numbers of ${second(model.newest.t)}` : 'connecting');
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, retry); // it does not try again by itself
  });
}

// begin shows what never changes. After a reconnection the server sends all that it has.
function begin(said) {
  const known = hello?.process === said.process;
  hello = said;
  model = new Model(said);
  if (known) {
    cards.forEach((card) => { card.model = model; });
    return;
  }
  cards = said.queues.map((queue, i) => new Card(queue, model, i, act));
  page.queues.replaceChildren(...cards.map((card) => card.root));
  page.overview.hidden = cards.length < 2;
  page.overview.replaceChildren(...(cards.length < 2 ? [] : said.queues.map(line)));
}

// line is a queue in the overview.
function line(queue, i) {
  const a = document.createElement('a');
  a.href = `#queue-${i}`;
  for (const name of ['mark', 'name', 'label', 'rate', 'rate']) {
    const cell = document.createElement('span');
    cell.className = name;
    a.append(cell);
  }
  a.children[1].textContent = queue.name;
  return a;
}

function render() {
  if (!model?.newest || states.length !== cards.length || document.hidden) return;
  const host = hello.host ? `${hello.host}, ` : '';
  page.process.textContent = `${host}process ${hello.pid}, up ${duration(model.newest.t - hello.began)}`;
  cards.forEach((card, i) => card.show(states[i], hello.actions));
  page.overview.querySelectorAll('a').forEach((a, i) => {
    a.dataset.kind = states[i].kind;
    a.children[2].textContent = states[i].label;
    a.children[3].textContent = `${number(model.rate(i, ['succeeded'], 10_000))} /s`;
    const failed = model.rate(i, ['failed'], 10_000);
    a.children[4].textContent = failed > 0 ? `${number(failed)} failed /s` : '';
  });
  title();
}

// title says what a person who has other tabs open should know.
function title() {
  const bad = ['refused', 'backing-off', 'stopped', 'behind', 'stopping', 'paused'];
  const worst = bad.map((kind) => states.findIndex((s) => s.kind === kind)).find((i) => i >= 0);
  document.title = worst === undefined ? `${hello.queues.map((q) => q.name).join(', ')} – sluice`
    : `${states[worst].label}: ${hello.queues[worst].name} – sluice`;
}

function say(live, text) {
  if (page.live.textContent !== text) page.live.textContent = text;
  page.live.dataset.live = live;
  document.body.classList.toggle('old', live !== 'live' && hello !== null);
}

async function act(action, queue, name) {
  if (action === 'pause' && !confirm(`Receive nothing more from ${name} in this process, until somebody resumes it?`)) return;
  try {
    const answer = await fetch(action, { method: 'POST', body: new URLSearchParams({ queue, process: hello.process }) });
    if (!answer.ok) alert(await answer.text());
  } catch (error) {
    alert(`The request failed: ${error.message}`);
  }
}

setInterval(() => {
  if (model?.newest && Date.now() - heard > silence) say('lost', `no news, numbers of ${second(model.newest.t)}`);
}, 1000);
document.addEventListener('visibilitychange', render);
connect();
