// Places for the nodes of a DAG, left to right: a column for each level, in it rows in the order of what they read.
//
// Levels that are wider than the graph is long are broken into several columns, so that a thousand steps alike are a
// block and not a line of 60,000 pixels. Orders by barycentre (Sugiyama, Tagawa, Toda 1981), from left to right only.

export const WIDTH = 190;
export const HEIGHT = 46;
const COLUMN_GAP = 70;
const BLOCK_GAP = 16;
const ROW_GAP = 14;
const FEWEST_ROWS = 12;

// Return {xs, ys}, the upper left corners in pixels, of nodes with these levels and inputs (lists of indices).
export function layout(levels, inputs) {
  const count = levels.length;
  const xs = new Float64Array(count);
  const ys = new Float64Array(count);
  const columns = [];
  levels.forEach((level, node) => (columns[level] ??= []).push(node));
  const rows = Math.max(FEWEST_ROWS, Math.ceil(Math.sqrt(count * 1.4)));
  let x = 0;
  for (const column of columns) {
    if (!column) continue;
    const weight = new Map(column.map((node, order) => {
      const read = inputs[node];
      const middle = read.length ? read.reduce((sum, each) => sum + ys[each], 0) / read.length : order * 1e-6;
      return [node, middle];
    }));
    column.sort((a, b) => weight.get(a) - weight.get(b) || a - b);
    const blocks = Math.ceil(column.length / rows);
    const height = Math.ceil(column.length / blocks);
    column.forEach((node, order) => {
      const block = Math.floor(order / height);
      const inBlock = Math.min(height, column.length - block * height);
      xs[node] = x + block * (WIDTH + BLOCK_GAP);
      ys[node] = (order % height - (inBlock - 1) / 2) * (HEIGHT + ROW_GAP);
    });
    x += blocks * (WIDTH + BLOCK_GAP) - BLOCK_GAP + COLUMN_GAP;
  }
  return { xs, ys };
}

// Put nodes of the same level, type and readers' level together. Return {groups, levels, inputs}: lists of members, and
// what the groups read of each other; `apart` holds the names of groups that stay open.
export function grouped(levels, types, inputs, apart) {
  const byName = new Map();
  const groups = [];
  const of = new Int32Array(levels.length);
  levels.forEach((level, node) => {
    const name = `${level} ${types[node]}`;
    if (apart.has(name)) {
      of[node] = groups.push({ name, members: [node] }) - 1;
      return;
    }
    if (!byName.has(name)) byName.set(name, groups.push({ name, members: [] }) - 1);
    of[node] = byName.get(name);
    groups[of[node]].members.push(node);
  });
  const read = groups.map((group) => [...new Set(group.members.flatMap((node) => inputs[node].map((each) => of[each])))]);
  return { groups, of, levels: groups.map((group) => levels[group.members[0]]), inputs: read };
}
