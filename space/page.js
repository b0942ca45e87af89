// Brings an answer into view once it is there, without taking the focus away from the question.
window.showAnswer = () => {
  const text = document.getElementById("document-text");
  const mark = document.getElementById("answer-1");
  if (text && mark) {
    const bring = () => {
      const distance = mark.getBoundingClientRect().top - text.getBoundingClientRect().top;
      text.scrollBy({ top: distance - text.clientHeight / 3, behavior: "instant" });
    };
    // Paragraphs get their true height when they come near, so the first jump can land a little off.
    bring();
    requestAnimationFrame(() => requestAnimationFrame(bring));
  }
  if (window.innerWidth < 760) document.getElementById("answer")?.scrollIntoView({ block: "start" });
};

window.preparePage = () => {
  // Screen readers announce the answer and the notice when they change.
  for (const id of ["answer", "notice"]) document.getElementById(id)?.setAttribute("aria-live", "polite");
  // Gradio's radio buttons have no name, so each would be a stop of its own for the Tab key: make them groups.
  const group = () => {
    for (const id of ["examples", "questions"]) {
      for (const input of document.querySelectorAll(`#${id} input[type=radio]`)) input.name = id;
    }
  };
  group();
  new MutationObserver(group).observe(document.body, { childList: true, subtree: true });
};
