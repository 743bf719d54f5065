// Cards of models, and which model of each task this browser uses. `element`, `props`, `watch` and `trigger` come from
// Gradio.

const words = props.value.words[(navigator.language ?? "").split("-")[0]] ?? props.value.words.en;

function make(tag, facts = {}, ...children) {
  const made = Object.assign(document.createElement(tag), facts);
  made.append(...children.filter((child) => child));
  return made;
}

const chosen = () => JSON.parse(localStorage.getItem("translate.models") ?? "{}");

function used(model) {
  const first = props.value.models.find(({ task }) => task === model.task);
  const others = props.value.models.filter(({ task }) => task === model.task);
  const kept = others.find(({ command }) => command === chosen()[model.task]) ?? first;
  return kept.index === model.index;
}

function use(model) {
  localStorage.setItem("translate.models", JSON.stringify({ ...chosen(), [model.task]: model.command }));
  window.dispatchEvent(new CustomEvent("translate-model", { detail: model }));
  trigger("select", { command: model.command });
  show();
}

function rows(measured) {
  return make("dl", { className: "measured" }, ...measured.flatMap(({ title, text, value }) => [
    make("dt", { textContent: title, title: text }), make("dd", { textContent: value }),
  ]));
}

function card(model) {
  const picture = model.picture
    ? make("img", { src: new URL(model.picture, document.baseURI).href, alt: words.picture })
    : make("p", { className: "none", textContent: words.no_picture });
  const size = [`${model.megabytes} MB`, model.parameters && `${model.parameters} ${words.parameters}`];
  const facts = [
    [words.licence, model.licence || words.unknown],
    [words.data, model.data || words.unknown],
    [words.size, size.filter(Boolean).join(", ")],
    ...(model.file ? [[words.file, model.file]] : []),
  ];
  const now = used(model);
  const button = make("button", { type: "button", textContent: now ? words.open : words.use });
  button.setAttribute("aria-label", `${button.textContent}: ${model.title}`);
  button.classList.toggle("primary", !now);
  button.addEventListener("click", () => use(model));
  const more = model.measured.length
    && make("details", {}, make("summary", { textContent: words.more }), rows(model.measured));
  const article = make("article", {},
    make("div", { className: "picture" }, picture),
    make("div", { className: "text" },
      make("p", { className: "task" }, model.task_title, now && make("strong", { textContent: `✓ ${words.used}` })),
      make("h3", { textContent: model.title }),
      make("p", { textContent: model.summary }),
      make("dl", { className: "facts" }, ...facts.flatMap(([name, text]) => [
        make("dt", { textContent: name }), make("dd", { textContent: text }),
      ])),
      model.headlines.length && rows(model.headlines),
      more,
    ),
    button,
  );
  article.classList.toggle("now", now);
  return article;
}

function show() {
  element.querySelector(".cards").replaceChildren(...props.value.models.map(card));
}

watch("value", show);
show();
