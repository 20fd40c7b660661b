// What of CodeMirror the recipe editor needs, bundled into static/editor-code.js by build.py.
//
// create({text, parent, nonce, label, changed, types, moved}) puts an editor into `parent`, tells changed(text), and
// moved(type, effect) when the cursor comes into a step of another of `types`, or with another effect; it returns
//   mark(problems)    shows problems {line, column, problem} at their places
//   go(line, column)  takes the cursor there
//   find(name)        takes it to where a node or an input is declared
//   end()

import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { HighlightStyle, bracketMatching, ensureSyntaxTree, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { lintGutter, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState } from "@codemirror/state";
import { EditorView, drawSelection, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const COLOURS = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--color-accent)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--color-good)" },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword, tags.atom], color: "var(--color-go)" },
  { tag: tags.comment, color: "var(--color-mute)", fontStyle: "italic" },
  { tag: [tags.punctuation, tags.separator, tags.squareBracket, tags.brace, tags.meta], color: "var(--color-mute)" },
  { tag: [tags.labelName, tags.typeName], color: "var(--color-kept)" },
  { tag: tags.invalid, color: "var(--color-bad)" },
]);

const LOOK = EditorView.theme({
  "&": { height: "60vh", fontSize: "0.875rem", color: "var(--color-ink)", backgroundColor: "var(--color-panel)" },
  "&.cm-focused": { outline: "none" }, // the panel around it has one
  ".cm-scroller": { fontFamily: "var(--font-mono)", lineHeight: "1.55" },
  ".cm-content": { caretColor: "var(--color-ink)" },
  ".cm-cursor": { borderLeftColor: "var(--color-ink)" },
  ".cm-gutters": { backgroundColor: "var(--color-sunk)", color: "var(--color-mute)", border: "none" },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--color-sunk) 60%, transparent)" },
  ".cm-activeLineGutter": { backgroundColor: "var(--color-line)", color: "var(--color-ink)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "color-mix(in srgb, var(--color-accent) 30%, transparent)",
  },
  ".cm-tooltip, .cm-panels": { backgroundColor: "var(--color-panel)", color: "var(--color-ink)", border: "1px solid var(--color-edge)" },
  ".cm-diagnostic": { padding: "0.4rem 0.6rem", fontFamily: "var(--font-sans)" },
  ".cm-diagnostic-error": { borderLeft: "4px solid var(--color-bad)" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--color-bad)" },
  ".cm-panel.cm-search input, .cm-panel.cm-search button, .cm-panel.cm-search label": { fontSize: "0.875rem" },
  ".cm-textfield": { border: "1px solid var(--color-edge)", backgroundColor: "var(--color-panel)", color: "var(--color-ink)" },
  ".cm-button": { backgroundImage: "none", backgroundColor: "var(--color-panel)", border: "1px solid var(--color-edge)", color: "var(--color-ink)" },
});

// Text over a selection is put in here: a browser that does it itself joins lines by styles of its own, which the
// page's policy refuses.
const OVER = EditorView.domEventHandlers({
  beforeinput(event, view) {
    if (event.inputType !== "insertText" || event.isComposing || event.data === null || view.state.selection.main.empty) return false;
    event.preventDefault();
    view.dispatch(view.state.replaceSelection(event.data), { userEvent: "input.type", scrollIntoView: true });
    return true;
  },
});

const PARSING = 50; // ms

// Return the members of a mapping in the syntax tree: name → node.
function members(text, mapping) {
  const found = new Map();
  for (const pair of mapping?.getChildren("Pair") ?? []) {
    const key = pair.getChild("Key");
    let value = pair.lastChild;
    while (value?.name === "Comment") value = value.prevSibling;
    if (key) found.set(written(text, key), value);
  }
  return found;
}

function written(text, node) {
  return node ? text.sliceString(node.from, node.to).replace(/^(["'])(.*)\1$/, "$2") : "";
}

// Return type and effect of the step in which the cursor is; of a MAP those that each item goes through.
function step(state, types) {
  const text = state.doc;
  let at = state.selection.main.head;
  while (at > 0 && /\s/.test(text.sliceString(at - 1, at))) at -= 1; // a line that is being begun belongs to the one above
  const tree = ensureSyntaxTree(state, at, PARSING);
  for (let node = tree?.resolveInner(at, -1); node; node = node.parent) {
    const its = members(text, node);
    if (!types.has(written(text, its.get("type")))) continue;
    let config = members(text, its.get("config"));
    let type = written(text, its.get("type"));
    const operation = written(text, config.get("operation"));
    if (type === "MAP" && types.has(operation)) {
      type = operation;
      config = new Map([...config, ...members(text, config.get("config"))]);
    }
    return { type, effect: written(text, config.get("effect")) };
  }
  return null;
}

export function create({ text, parent, nonce, label, changed, types, moved }) {
  let last = "";
  function look(state) {
    const here = step(state, types);
    const identity = here && `${here.type} ${here.effect}`;
    if (!here || identity === last) return;
    last = identity;
    moved(here.type, here.effect);
  }

  const view = new EditorView({
    parent,
    state: EditorState.create({
      doc: text,
      extensions: [
        EditorView.cspNonce.of(nonce),
        lineNumbers(),
        lintGutter(),
        history(),
        drawSelection(),
        highlightActiveLine(),
        highlightActiveLineGutter(),
        highlightSelectionMatches(),
        search({ top: true }),
        bracketMatching(),
        indentOnInput(),
        indentUnit.of("  "),
        yaml(),
        syntaxHighlighting(COLOURS),
        LOOK,
        OVER,
        EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false", tabindex: "0" }),
        keymap.of([...searchKeymap, ...historyKeymap, ...defaultKeymap]), // Tab is not among them: it leaves the editor
        EditorView.updateListener.of((update) => {
          if (update.docChanged) changed(update.state.doc.toString());
          if (update.docChanged || update.selectionSet) look(update.state);
        }),
      ],
    }),
  });

  view.scrollDOM.removeAttribute("tabindex"); // of -1: Safari could not scroll it by keyboard

  // Where a line (from 1) and a column (from 1) are in the text as it is now.
  function place(line, column = 1) {
    const found = view.state.doc.line(Math.min(Math.max(1, line), view.state.doc.lines));
    return { found, at: Math.min(found.to, found.from + Math.max(0, column - 1)) };
  }

  function go(line, column) {
    const { at } = place(line, column);
    view.dispatch({ selection: { anchor: at }, effects: EditorView.scrollIntoView(at, { y: "center" }) });
    view.focus();
  }

  return {
    go,
    mark(problems) {
      const diagnostics = problems.map(({ line, column, problem }) => {
        const { found, at } = place(line, column);
        const end = found.text.replace(/\s*(#.*)?$/, "").length + found.from;
        return { from: at, to: Math.max(at, end), severity: "error", message: problem };
      });
      diagnostics.sort((a, b) => a.from - b.from || a.to - b.to);
      view.dispatch(setDiagnostics(view.state, diagnostics));
    },
    find(name) {
      const safe = name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      const end = `["']?${safe}["']?\\s*`;
      const last = `${end}(?:$|[,}#])`;
      // The first that there is: its id, its key in lines or in braces, its name; the recipe's own name is not indented.
      const declared = [`\\bid:\\s*${last}`, `^\\s+${end}:`, `[{,]\\s*${end}:`, `^[\\s-].*\\bname:\\s*${last}`].map((each) => new RegExp(each));
      for (const rule of declared) {
        for (let line = 1; line <= view.state.doc.lines; line += 1) {
          const match = rule.exec(view.state.doc.line(line).text);
          if (match) return go(line, match.index + 1);
        }
      }
      return undefined;
    },
    end: () => view.destroy(),
  };
}
