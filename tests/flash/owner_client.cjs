// Two clients of /v2/owner/{owner}/ws, as the venue's documentation tells people to write them, on one socket each.
// One decodes the bytes of each basket and takes figures as they come; the other folds figures into the last basket,
// and no figures make it show a position that this basket has not. What they show is printed, a line of JSON each time.
'use strict'
const { BorshAccountsCoder } = require('@coral-xyz/anchor')

const url = process.argv[2]
const baskets = new BorshAccountsCoder(require('./basket_idl.json'))
const tell = (...said) => process.stdout.write(JSON.stringify(said) + '\n')

const decoding = new WebSocket(url)
let bytes = null
decoding.onmessage = (event) => {
  const message = JSON.parse(event.data)
  if (message.type === 'basket') {
    bytes = message.data.basketData === null ? null : Buffer.from(message.data.basketData, 'base64')
    const held = bytes === null ? [] : baskets.decode('Basket', bytes).positions
    const open = held.filter((one) => !one.position.size_amount.isZero()).map((one) => one.market.toBase58())
    tell('decoded', open, Object.keys(message.data.positionMetrics))
  } else if (message.type === 'metrics') {
    tell('ticked', bytes !== null, Object.keys(message.data))
  }
}
decoding.onerror = () => tell('error', 'decoding')

const merging = new WebSocket(url)
let shown
merging.onmessage = (event) => {
  const message = JSON.parse(event.data)
  if (message.type === 'basket') {
    shown = message.data
  } else if (message.type === 'metrics' && shown !== undefined) {
    const folded = Object.entries(shown.positionMetrics).map(([market, was]) => [market, message.data[market] ?? was])
    shown = { ...shown, positionMetrics: Object.fromEntries(folded) }
  }
  const figures = Object.entries(shown?.positionMetrics ?? {}).map(([market, one]) => [market, one.pnlWithFeeUsdUi])
  tell('shown', message.type, Object.fromEntries(figures), shown?.basketPubkey ?? null)
}
merging.onerror = () => tell('error', 'merging')
process.stdin.resume().on('end', () => process.exit(0))
