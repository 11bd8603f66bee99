// How numbers, times and sizes read.

const plain = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat('en', { maximumFractionDigits: 3 });
const clockTime = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const clockSeconds = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });

export const none = '–';

export function count(n) {
  return n === null ? none : plain.format(n);
}

// number is for values that may be small: three digits say enough.
export function number(v) {
  if (v === null || !Number.isFinite(v)) return none;
  if (v === 0) return '0';
  if (v < 0.005) return '<0.01';
  if (v < 10) return v.toFixed(v < 1 ? 2 : 1);
  if (v < 100_000) return plain.format(v);
  return plain.format(v / 1000) + 'k';
}

// tick is for the ends of axes.
export function tick(v) {
  return v < 100_000 ? fine.format(v) : plain.format(v / 1000) + 'k';
}

export function share(part, whole) {
  if (!(whole > 0)) return none;
  const percent = (100 * part) / whole;
  if (percent === 0) return '0 %';
  if (percent < 0.1) return '<0.1 %';
  return percent < 10 ? percent.toFixed(1) + ' %' : percent.toFixed(0) + ' %';
}

// durationParts returns a time as [value, unit].
export function durationParts(ms) {
  if (ms < 1000) return [plain.format(ms), 'ms'];
  const s = ms / 1000;
  if (s < 10) return [s.toFixed(1), 's'];
  if (s < 120) return [plain.format(Math.floor(s)), 's'];
  if (s < 7200) return [plain.format(Math.floor(s / 60)), 'min'];
  if (s < 172800) return [plain.format(Math.floor(s / 3600)), 'h'];
  return [plain.format(Math.floor(s / 86400)), 'd'];
}

export function duration(ms) {
  return durationParts(Math.max(0, ms)).join(' ');
}

export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) {
    n /= 1024;
    i++;
  }
  return (i === 0 || n >= 100 ? plain.format(n) : n.toFixed(1).replace(/\.0$/, '')) + ' ' + units[i];
}

export function minute(ms) {
  return clockTime.format(ms);
}

export function second(ms) {
  return clockSeconds.format(ms);
}
