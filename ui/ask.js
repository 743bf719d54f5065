// One request to the program that serves the page; what goes wrong is an Error with a sentence.

async function ask(path, settings, options = {}) {
  const address = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(settings)) {
    if (value !== null && value !== undefined && value !== "") address.searchParams.set(name, value);
  }
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Error(word("page.offline"));
  }
  if (answer.ok) return answer;
  // What is refused, or has no room now, is told in a sentence; the 503 of a proxy is a page.
  const told = [422, 503].includes(answer.status) && answer.headers.get("Content-Type")?.startsWith("text/plain");
  throw new Error(told ? await answer.text() : word("page.broken", { status: answer.status }));
}
