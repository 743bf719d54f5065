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
  throw new Error(answer.status === 422 ? await answer.text() : word("page.broken", { status: answer.status }));
}
