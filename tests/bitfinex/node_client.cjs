// bitfinex-api-node as it is, with the audit of sequence numbers: prints every event as a line of JSON, and asks for
// what stands on lines of its input.
'use strict'
const readline = require('readline')
const { WSv2 } = require('bitfinex-api-node')

const [url, apiKey, apiSecret] = process.argv.slice(2)
const tell = (...said) => process.stdout.write(JSON.stringify(said) + '\n')
const plain = (value) => Array.isArray(value) ? value.map(plain) : (value && value.toJS ? value.toJS() : value)

const ws = new WSv2({ apiKey, apiSecret, url, transform: true, seqAudit: true, autoReconnect: true, reconnectDelay: 300 })
let frames = 0
ws.on('message', () => { frames += 1 })
ws.on('error', (error) => tell('error', error.message || error.msg || String(error), error.code || null))
ws.on('auth', (answer) => tell('auth', answer))
ws.on('close', () => tell('close'))
ws.onPositionSnapshot({}, (value) => tell('position_snapshot', plain(value)))
ws.onPositionNew({}, (value) => tell('position_new', plain(value)))
ws.onPositionUpdate({}, (value) => tell('position_update', plain(value)))
ws.onPositionClose({}, (value) => tell('position_close', plain(value)))
ws.onWalletSnapshot({}, (value) => tell('wallet_snapshot', plain(value)))
ws.onWalletUpdate({}, (value) => tell('wallet_update', plain(value)))
ws.onMarginInfoUpdate({}, (value) => tell('margin_info', plain(value)))
ws.onFundingInfoUpdate({}, (value) => tell('funding_info', plain(value)))
ws.onBalanceInfoUpdate({}, (value) => tell('balance_info', plain(value)))
ws.onTicker({ symbol: 'tBTCUSD' }, (value) => tell('ticker', plain(value)))
ws.onInfoMessage(20051, () => tell('restart'))

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const words = line.split(' ')
  if (words[0] === 'close') ws.close().then(() => { tell('ended', frames); process.exit(0) })
  else if (words[0] === 'frames') tell('frames', frames)
  else if (words[0] === 'ticker') ws.subscribeTicker(words[1])
  else ws.requestCalc(words)
})

ws.open().then(() => { tell('open'); return ws.auth() }).catch((error) => tell('raised', error.message))
