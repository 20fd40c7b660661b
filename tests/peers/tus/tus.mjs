// Uploads files with another implementation of tus. Reads one line of JSON from standard input:
//   endpoint, token, files: [PATH]  what to upload where; all at once
//   kept: FILE                      where it keeps the URLs of uploads that are not complete; each is gone on with
//   at: {PATH: URL}                 uploads to go on with, instead of those in the file
//   tries: [MILLISECONDS]           how long to wait before it tries again, each time; none: it does not
//   stop: BYTES, terminate: BOOL    give up when so many are accepted, and have the server forget them
//   options: {}                     of tus-js-client, further ones
// Writes a line of JSON for each thing that happens to a file: {"file": PATH, "what": …}
//   "previous" (urls), "url" (url), "accepted" (bytes, upto), "again" (status; 0: no answer): it may try again,
//   "done" (url, content: Content-Location), "stopped" (url), "refused" (status, type, body), "lost" (reason)

import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { once } from 'node:events'
import tus from 'tus-js-client'

const lines = createInterface({ input: process.stdin })
const [line] = await once(lines, 'line')
lines.close()
const { endpoint, token, files, kept, at = {}, tries = null, stop, terminate = false, options = {} } = JSON.parse(line)

const tell = (file, what, facts = {}) => console.log(JSON.stringify({ file, what, ...facts }))

function refusal (error) {
  const answer = error.originalResponse
  if (!answer) return ['lost', { reason: String(error) }]
  return ['refused', { status: answer.getStatus(), type: answer.getHeader('Content-Type'), body: answer.getBody() }]
}

const passing = status => status < 400 || status >= 500 || status === 409 || status === 423 // by the peer's own rule

async function send (path) {
  const ended = Promise.withResolvers()
  const end = (what, facts) => {
    tell(path, what, facts)
    ended.resolve()
  }
  const upload = new tus.Upload(createReadStream(path), {
    endpoint,
    headers: { Authorization: `Bearer ${token}` },
    metadata: { filename: path, name: path.split('/').at(-1) },
    retryDelays: tries,
    uploadUrl: at[path],
    ...(kept && { urlStorage: new tus.FileUrlStorage(kept) }),
    removeFingerprintOnSuccess: true,
    onUploadUrlAvailable: () => tell(path, 'url', { url: upload.url }),
    onChunkComplete: (bytes, upto) => {
      tell(path, 'accepted', { bytes, upto })
      if (stop === undefined || upto < stop) return
      upload.abort(terminate).then(() => end('stopped', { url: upload.url }), error => end(...refusal(error)))
    },
    onSuccess: ({ lastResponse }) =>
      end('done', { url: upload.url, content: lastResponse.getHeader('Content-Location') }),
    onShouldRetry: error => {
      const status = error.originalResponse?.getStatus() ?? 0
      if (passing(status)) tell(path, 'again', { status })
      return passing(status)
    },
    onError: error => end(...refusal(error)),
    ...options
  })
  if (kept) {
    const previous = await upload.findPreviousUploads()
    tell(path, 'previous', { urls: previous.map(each => each.uploadUrl) })
    if (previous.length > 0) upload.resumeFromPreviousUpload(previous[0])
  }
  upload.start()
  await ended.promise
}

await Promise.all(files.map(send))
