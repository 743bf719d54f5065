// Cards of models, and which model of each task this browser uses. `element`, `props`, `watch` and `trigger` come from
// Gradio.

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
    ? make("img", { src: new URL(model.picture, document.baseURI).href, alt: word("models.picture") })
    : make("p", { className: "none", textContent: word("models.no_picture") });
  const size = [`${model.megabytes} MB`, model.parameters && `${model.parameters} ${word("models.parameters")}`];
  const facts = [
    [word("models.licence"), model.licence || word("models.unknown")],
    [word("models.data"), model.data || word("models.unknown")],
    [word("models.size"), size.filter(Boolean).join(", ")],
    ...(model.file ? [[word("models.file"), model.file]] : []),
  ];
  const now = used(model);
  const button = make("button", { type: "button", textContent: now ? word("models.open") : word("models.use") });
  button.setAttribute("aria-label", `${button.textContent}: ${model.title}`);
  button.classList.toggle("primary", !now);
  button.addEventListener("click", () => use(model));
  const more = model.measured.length
    && make("details", {}, make("summary", { textContent: word("models.more") }), rows(model.measured));
  const article = make("article", {},
    make("div", { className: "picture" }, picture),
    make("div", { className: "text" },
      make("p", { className: "task" }, word(`task.${model.task}.name`), now && make("strong", { textContent: `✓ ${word("models.used")}` })),
      make("h3", { textContent: model.title }),
      make("p", { textContent: model.summary || `${word(`task.${model.task}.summary`)}.` }),
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
