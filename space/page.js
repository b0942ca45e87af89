// Brings an answer into view once it is there, without taking the focus away from the question.
window.showAnswer = () => {
  const text = document.getElementById("document-text");
  const mark = document.getElementById("answer-1");
  if (text && mark) {
    const middle = mark.getBoundingClientRect().top - text.getBoundingClientRect().top;
    text.scrollTop += middle - text.clientHeight / 3;
  }
  if (window.innerWidth < 760) document.getElementById("answer")?.scrollIntoView({ block: "start" });
};

// Screen readers announce the answer and the notice when they change.
window.preparePage = () => {
  for (const id of ["answer", "notice"]) document.getElementById(id)?.setAttribute("aria-live", "polite");
};
