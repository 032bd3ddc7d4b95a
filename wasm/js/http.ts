/** Fetches an address; an answer without content is an error. */
export async function fetched(address: string, signal?: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(address, signal ? { signal } : {});
  } catch (cause) {
    signal?.throwIfAborted();
    throw new Error(`cannot load ${address}: the server does not answer, or does not allow this origin (CORS), or the page's Content-Security-Policy does not (connect-src)`, { cause });
  }
  if (!response.ok || !response.body) {
    throw new Error(`cannot load ${address}: the server answers ${response.status} ${response.statusText}`.trimEnd());
  }
  return response;
}

/** The number of bytes of a response; null if unknown, as for a compressed one, whose length is not that of its content. */
export function length(response: Response): number | null {
  const length = response.headers.get("content-encoding") ? null : response.headers.get("content-length");
  return length === null ? null : Number(length);
}

/** The content of a response that was checked to have one. */
export function body(response: Response): ReadableStream<Uint8Array<ArrayBuffer>> {
  return response.body as ReadableStream<Uint8Array<ArrayBuffer>>;
}

/** The pieces of a stream; `problem` says what has happened if it breaks off. */
export async function* read(stream: ReadableStream<Uint8Array<ArrayBuffer>>, problem: string): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((cause: Error) => {
      if (cause.name === "AbortError") throw cause;
      throw new Error(`${problem}: ${cause.message}; try again`, { cause });
    });
    if (done) return;
    yield value;
  }
}
