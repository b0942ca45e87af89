// What the browser does by itself. Nothing here sends anything: a visitor's own text and the tab's questions stay in
// the tab.
(() => {
  const find = (selector) => document.querySelector(selector);
  const said = (name) => find(".masthead")?.dataset[name] ?? "";
  const wide = () => window.innerWidth >= 960;
  const LEAST = 140; // pixels: the smallest height of the document's box
  const update = (values) => ({ __type__: "update", ...values });

  // The answer.

  // The document's box ends inside the window. If the card leaves it too little room, the page scrolls to the card.
  const fit = () => {
    const text = find("#document-text");
    if (!text) return;
    const room = () => window.innerHeight - text.getBoundingClientRect().top - 16;
    if (wide() && room() < LEAST) find(".others[open]")?.removeAttribute("open");
    if (wide() && room() < LEAST) find("#answer")?.scrollIntoView({ block: "start", behavior: "instant" });
    text.style.maxHeight = `${wide() ? Math.max(LEAST, room()) : Math.round(0.7 * window.innerHeight)}px`;
  };

  // The event comes a few frames before the card and the document are on the page.
  window.showAnswer = (frames = 0) => {
    const card = find("#answer .card");
    if (card?.dataset.result && !find("#document-text") && frames < 60) {
      requestAnimationFrame(() => window.showAnswer(frames + 1));
      return;
    }
    if (card?.dataset.result) remember(JSON.parse(card.dataset.result));
    const answer = find("#answer");
    if (answer) {
      const { top } = answer.getBoundingClientRect();
      if (top < 0 || top > window.innerHeight / 3) answer.scrollIntoView({ block: "start", behavior: "instant" });
    }
    fit();
    const text = find("#document-text"), mark = document.getElementById("answer-1");
    if (text && mark) {
      // A paragraph gets its true height only when it comes near. So jump again until the place stays the same.
      const place = () => mark.getBoundingClientRect().top - text.getBoundingClientRect().top;
      let landed = NaN, still = 0, frames = 0;
      const bring = () => {
        still = Math.abs(place() - landed) < 1 ? still + 1 : 0;
        text.scrollBy({ top: place() - text.clientHeight / 3, behavior: "instant" });
        landed = place();
        if (still < 5 && ++frames < 120) requestAnimationFrame(bring);
      };
      bring();
    }
    keepFocus();
  };

  // Ask and Stop take each other's place. The focus goes to the one that is there.
  const keepFocus = () => {
    if (document.activeElement === document.body) find("#ask:not(.hidden), #stop:not(.hidden)")?.focus({ preventScroll: true });
  };

  // The document: what was there before, edits, files.

  let aside = null; // [text, name] of the visitor's own document, while an example or a file is in its place
  const ownText = (name) => !window.about.examples.some(([, , title]) => title === name);

  window.putAside = (text, name) => {
    if (text?.trim() && ownText(name)) aside = [text, name];
    return update({ visible: aside !== null });
  };

  window.bringBack = () => {
    const [text, name] = aside ?? ["", ""];
    aside = null;
    return [text, name, update({ visible: false }), notice(name), null, update({ visible: false }), empty(), ""];
  };

  window.edited = (name) => {
    const pattern = said("edited"), [before, after] = pattern.split("{name}");
    const marked = name && name.startsWith(before) && name.endsWith(after) && name !== before + after;
    const known = name && !(marked && after) ? pattern.replace("{name}", name) : name ?? "";
    return [known, known ? notice(known) : hint(), null, update({ visible: false }), empty(), ""];
  };

  const notice = (name) => {
    const line = document.createElement("p");
    line.textContent = name;
    return name ? line.outerHTML : hint();
  };
  let firstHint = "", firstCard = "";
  const hint = () => firstHint;
  const empty = () => firstCard;

  const openFile = (file) => {
    const field = find("#open input[type=file], #file input[type=file]");
    if (!file || !field) return;
    const carried = new DataTransfer();
    carried.items.add(file);
    field.files = carried.files;
    field.dispatchEvent(new Event("change", { bubbles: true }));
  };

  // A file that is too large is refused before it is sent, where the page speaks of files.
  const refuseLarge = (event) => {
    const [file] = event.target.files ?? [];
    if (event.target.type !== "file" || !file || file.size <= window.about.limit) return;
    event.stopImmediatePropagation();
    event.preventDefault();
    event.target.value = "";
    const line = document.createElement("p");
    line.className = "problem";
    line.setAttribute("role", "alert");
    line.textContent = said("tooLarge").replace("{name}", () => `'${file.name}'`);
    find("#notice .prose, #notice")?.replaceChildren(line);
  };

  const dropping = () => {
    const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    let inside = 0;
    const show = (on) => {
      document.body.classList.toggle("dropping", on);
      if (on) document.body.dataset.drop = said("drop");
    };
    window.addEventListener("dragenter", (event) => carries(event) && ++inside && show(true), true);
    window.addEventListener("dragleave", (event) => carries(event) && --inside <= 0 && show(false), true);
    window.addEventListener("dragover", (event) => carries(event) && event.preventDefault(), true);
    window.addEventListener("drop", (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      event.stopPropagation();
      inside = 0;
      show(false);
      openFile(event.dataTransfer.files[0]);
    }, true);
  };

  // What was asked in this tab.

  const asked = [];
  const onPage = (number) => number && said("page").replace("{number}", number);

  const remember = (rows) => {
    const list = find("#history-list ol");
    for (const row of rows) {
      asked.push({ asked: new Date().toISOString(), ...row });
      const item = document.createElement("li");
      for (const [kind, text] of [["question", row.question], ["answer", row.answer || "–"],
        ["about", [row.document, onPage(row.page)].filter(Boolean).join(", ")]]) {
        const part = document.createElement("span");
        part.className = kind;
        part.dir = "auto";
        part.textContent = text;
        item.append(part, " ");
      }
      list?.prepend(item);
    }
    find("#history-list")?.removeAttribute("hidden");
  };

  // A spreadsheet would run a cell such as =1+1. An apostrophe before it makes it text.
  const cell = (value) => {
    const text = `${value ?? ""}`;
    return `"${(typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  };
  const saved = {
    json: () => ["application/json", JSON.stringify(asked, null, 1)],
    csv: () => {
      const names = Object.keys(asked[0] ?? {});
      return ["text/csv", "\ufeff" + [names, ...asked.map((row) => names.map((name) => row[name]))]
        .map((row) => row.map(cell).join(",")).join("\r\n")];
    },
  };
  const save = (kind) => {
    const [type, text] = saved[kind]();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = `answers.${kind}`;
    link.click();
    URL.revokeObjectURL(link.href);
  };

  const copy = async (button) => {
    const rows = JSON.parse(button.closest("[data-result]").dataset.result);
    const text = rows.map((row) => [row.question, row.answer || "–", row.sentence,
      [row.document, onPage(row.page), row.start !== null && `${row.start}–${row.end}`]
        .filter(Boolean).join(", ")].filter(Boolean).join("\n")).join("\n\n");
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else { // browsers give no clipboard to a page on plain http
      const field = Object.assign(document.createElement("textarea"), { value: text });
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
      button.focus();
    }
    const before = button.textContent;
    button.textContent = button.dataset.done;
    setTimeout(() => (button.textContent = before), 2000);
  };

  // The page.

  // Gradio's panel asks the server for two things that this page does not have. Answer it here, without a request.
  // Gradio says in English that its queue is full. Say it in the page's language.
  const reach = window.fetch.bind(window);
  window.fetch = async (what, options) => {
    const { pathname } = new URL(what.url ?? what, location.href);
    const absent = ["/monitoring/summary", "/gradio_api/mcp/schema"].some((path) => pathname.endsWith(path));
    if (absent) return new Response(null, { status: 404 });
    const reply = await reach(what, options);
    const full = reply.status === 503 && pathname.endsWith("/gradio_api/queue/join");
    return full ? Response.json({ detail: said("full") }, { status: 429 }) : reply;
  };

  window.preparePage = () => {
    const { lang } = find(".masthead") ?? {};
    if (lang) document.documentElement.lang = lang;
    document.title = find(".masthead h1")?.textContent ?? document.title;
    firstHint = find("#notice p")?.outerHTML ?? "";
    firstCard = find("#answer .card")?.outerHTML ?? "";
    // Screen readers announce the answer and the notice when they change.
    for (const id of ["answer", "notice"]) document.getElementById(id)?.setAttribute("aria-live", "polite");
    // Gradio's radio buttons have no name and their groups no legend: each would be a stop of its own for the Tab key.
    const group = () => {
      for (const id of ["examples", "questions"]) {
        const set = find(`#${id}`);
        for (const input of set?.querySelectorAll("input[type=radio]") ?? []) input.name = id;
        const fields = set?.matches("fieldset") ? set : set?.querySelector("fieldset");
        const title = set?.querySelector("[data-testid=block-info]");
        if (fields && title && !fields.querySelector("legend")) {
          const legend = document.createElement("legend");
          legend.className = "unseen";
          legend.textContent = title.textContent;
          title.setAttribute("aria-hidden", "true");
          fields.prepend(legend);
        }
      }
    };
    group();
    new MutationObserver(group).observe(document.body, { childList: true, subtree: true });
    document.addEventListener("change", refuseLarge, true);
    document.addEventListener("click", (event) => {
      const button = event.target.closest?.("button");
      if (button?.matches(".copy")) copy(button);
      if (button?.dataset.save) save(button.dataset.save);
      if (button?.id === "ask") setTimeout(keepFocus, 300);
      if (button?.id === "stop") {
        const label = find("#answer .label");
        if (label) label.textContent = said("stopping");
      }
    }, true);
    window.addEventListener("resize", fit);
    dropping();
    const wanted = new URLSearchParams(location.search).get("example")?.toLowerCase();
    const example = window.about.examples.findIndex((names) => names.some((name) => name.toLowerCase() === wanted));
    if (wanted && example >= 0) find(`#examples label:nth-of-type(${example + 1}) input`)?.click();
  };
})();
