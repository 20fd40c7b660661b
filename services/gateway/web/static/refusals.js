// A refusal, with links to whatever is named in it as the reason.

import { told } from "./forms.js";

const PAGES = [[/^\/runs\//, "/run/"], [/^\/recipes\//, "/recipe/"]]; // where people see what programs find there
const WORDS = { run: "a run", recipe: "a recipe", effect: "an effect", publication: "what is published", user: "somebody" };

// Return a paragraph that says what a problem says. `what`: about which thing, where there are several.
export function refused(problem, what = "") {
  const line = document.createElement("p");
  if (what) {
    const name = document.createElement("strong");
    name.textContent = `${what}: `;
    line.append(name);
  }
  line.append(told(problem));
  const linked = (problem?.holders ?? []).filter((each) => each.link);
  if (linked.length) line.append(" See ");
  linked.forEach((each, index) => {
    if (index) line.append(index === linked.length - 1 ? " and " : ", ");
    const link = document.createElement("a");
    link.href = PAGES.reduce((address, [api, page]) => address.replace(api, page), each.link);
    link.textContent = `${WORDS[each.holder] ?? each.holder} (${each.id.slice(0, 8)}…)`;
    line.append(link);
  });
  if (linked.length) line.append(".");
  else if (problem?.hint) line.append(` ${problem.hint}`);
  return line;
}
