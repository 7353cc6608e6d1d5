// Node's `ws`, with its defaults: it declines deflate.
import { parseArgs } from 'node:util'
import { WebSocketServer } from 'ws'

const { values: options } = parseArgs({
  options: {
    port: { type: 'string' },
    rate: { type: 'string', default: '10' },
    rows: { type: 'string', default: '5' },
    fields: { type: 'string', default: '2' },
    size: { type: 'string' },
    hold: { type: 'boolean', default: false },
  },
})

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
const FIELDS = ['last', 'size', 'bid', 'ask', 'high', 'low']
const below = (limit) => Math.floor(Math.random() * limit)

// The same walk of prices as in common.py.
class Quotes {
  #state = new Map()

  constructor(rows) {
    while (this.#state.size < Math.max(rows, 100)) {
      const name = Array.from({ length: 2 + below(3) }, () => LETTERS[below(26)]).join('')
      this.#state.set(name, { last: 1 + below(9900) / 100, size: 100 })
    }
  }

  tick(rows, fields) {
    const symbols = [...this.#state.keys()]
    const patch = {}
    for (let i = 0; i < rows; i++) {
      const at = i + below(symbols.length - i)
      ;[symbols[i], symbols[at]] = [symbols[at], symbols[i]]
      const state = this.#state.get(symbols[i])
      for (const field of FIELDS.slice(0, fields)) state[field] = moved(field, state[field] ?? 50)
      patch[symbols[i]] = Object.fromEntries(FIELDS.slice(0, fields).map((f) => [f, state[f]]))
    }
    return patch
  }
}

function moved(field, before) {
  if (field === 'size') return 1 + below(999)
  const step = ((below(2) ? 1 : -1) * (1 + below(19))) / 100
  return Number(Math.max(before + step, before / 2, 0.01).toFixed(2))
}

const message = (rows, seq) =>
  JSON.stringify({ type: 'diff', board: 'stocks', prev: seq - 1, seq, at: Date.now(), rows })

const rows = options.size ? Math.max(1, Math.round((options.size - 84) / 32)) : Number(options.rows)
const fields = options.size < 110 ? 1 : Number(options.fields)
const quotes = new Quotes(rows)
const server = new WebSocketServer({ host: '127.0.0.1', port: Number(options.port), backlog: 2048 })
server.on('connection', (viewer) => {
  viewer.on('error', () => viewer.terminate())
  viewer.send(JSON.stringify({ type: 'welcome', at: Date.now() }))
})

let seq = 0
const begin = () =>
  setInterval(() => {
    seq += 1
    const data = Buffer.from(message(quotes.tick(rows, fields), seq))
    for (const viewer of server.clients) viewer.send(data, { binary: false })
  }, 1000 / Number(options.rate))
if (options.hold) process.once('SIGUSR2', begin)
else begin()
