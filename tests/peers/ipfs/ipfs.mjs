// Answers questions about files with another implementation of IPFS. Reads JSON from standard input, writes JSON.
//   {"ask": "cid", "path": FILE or FOLDER, "version": 0 or 1}   → {"cid": "…"}
//   {"ask": "cid", "bytes": COUNT, "version": 0 or 1}           → {"cid": "…"}, of the numbers 0 to 250 over and over
//   {"ask": "read-car", "path": CAR}                            → {"roots": ["…"], "files": {path: {"cid", "sha256"}}}
//   {"ask": "write-car", "path": FOLDER, "car": CAR, "version"} → {"cid": "…"}

import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream, readdirSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { text } from 'node:stream/consumers'
import { CarReader, CarWriter } from '@ipld/car'
import { BlackHoleBlockstore, MemoryBlockstore } from 'blockstore-core'
import { exporter, recursive } from 'ipfs-unixfs-exporter'
import { importer } from 'ipfs-unixfs-importer'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { balanced } from 'ipfs-unixfs-importer/layout'

function * candidates (path, root = path) {
  if (!statSync(path).isDirectory()) {
    yield { path: path === root ? 'file' : relative(root, path), content: createReadStream(path) }
    return
  }
  if (readdirSync(path).length === 0) yield { path: relative(root, path) || 'folder' }
  for (const name of readdirSync(path)) yield * candidates(join(path, name), root)
}

function * numbers (count) {
  const some = new Uint8Array(251 * 4096).map((_, i) => i % 251)
  for (let left = count; left > 0; left -= some.length) yield some.subarray(0, Math.min(left, some.length))
}

async function add (path, version, store, count) {
  const folder = count === undefined && statSync(path).isDirectory()
  const source = count === undefined ? candidates(path) : [{ path: 'file', content: numbers(count) }]
  let last
  for await (const entry of importer(source, store, {
    cidVersion: version,
    rawLeaves: version === 1,
    chunker: fixedSize({ chunkSize: 262144 }),
    layout: balanced({ maxChildrenPerNode: 174 }),
    shardSplitStrategy: 'links-bytes',
    wrapWithDirectory: folder && readdirSync(path).length > 0,
    fieldOrder: 'links-first'
  })) last = entry
  return last.cid
}

const answers = {
  async cid ({ path, version, bytes }) {
    return { cid: String(await add(path, version, new BlackHoleBlockstore(), bytes)) }
  },

  async 'read-car' ({ path }) {
    const reader = await CarReader.fromIterable(createReadStream(path))
    const store = {
      async * get (cid) {
        const block = await reader.get(cid)
        if (!block) throw new Error(`no ${cid} in the file`)
        yield block.bytes
      }
    }
    const roots = await reader.getRoots()
    const files = {}
    for (const root of roots) {
      for await (const entry of recursive(root, store)) {
        const file = await exporter(entry.cid, store)
        if (file.type === 'directory') continue
        const hash = createHash('sha256')
        for await (const data of file.content()) hash.update(data)
        files[entry.path.split('/').slice(1).join('/')] = { cid: String(entry.cid), sha256: hash.digest('hex') }
      }
    }
    return { roots: roots.map(String), files }
  },

  async 'write-car' ({ path, car, version }) {
    const store = new MemoryBlockstore()
    const cid = await add(path, version, store)
    const { writer, out } = CarWriter.create([cid])
    const file = createWriteStream(car)
    const written = finished(Readable.from(out).pipe(file))
    for await (const { cid, bytes } of store.getAll()) {
      const parts = []
      for await (const part of bytes) parts.push(part)
      await writer.put({ cid, bytes: Buffer.concat(parts) })
    }
    await writer.close()
    await written
    return { cid: String(cid) }
  }
}

const question = JSON.parse(await text(process.stdin))
console.log(JSON.stringify(await answers[question.ask](question)))
