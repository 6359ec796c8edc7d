// flash-sdk as it is, and anchor's coder, over accounts as bytes: answers each line of its input with one of its own.
'use strict'
const readline = require('readline')
const { PublicKey } = require('@solana/web3.js')
const { BN, BorshAccountsCoder } = require('@coral-xyz/anchor')
const BigNumber = require('bignumber.js')
const { PerpetualsClient, PositionAccount, CustodyAccount, OraclePrice } = require('flash-sdk')

const nobody = PublicKey.default
const client = new PerpetualsClient({ connection: {}, wallet: { publicKey: nobody } }, nobody, nobody, nobody, nobody, {})
const sdkAccounts = client.program.coder.accounts
const baskets = new BorshAccountsCoder(require('./basket_idl.json'))

const bytes = (text) => Buffer.from(text, 'base64')
const price = ([value, exponent, confidence, timestamp]) => OraclePrice.from({
  price: new BN(value), exponent: new BN(exponent), confidence: new BN(confidence), timestamp: new BN(timestamp)
})
const plain = (value) => {
  if (BN.isBN(value)) return value.toString()
  if (value instanceof PublicKey) return Buffer.from(value.toBytes()).toString('hex')
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return Array.from(value, plain)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one)]))
}

const answers = {
  metrics: (asked) => {
    const custody = (text) => CustodyAccount.from(nobody, sdkAccounts.decode('custody', bytes(text)))
    const found = client.getPositionMetrics(
      PositionAccount.from(nobody, sdkAccounts.decode('position', bytes(asked.position))),
      price(asked.spot), price(asked.average), custody(asked.target),
      price(asked.collateralSpot), price(asked.collateralAverage), custody(asked.collateral),
      new BN(asked.now), { getMarketConfigByPk: () => ({ side: { [asked.side]: {} } }) })
    return {
      profit: found.pnl.profitUsd.toString(),
      loss: found.pnl.lossUsd.toString(),
      leverage: found.leverage.toString(),
      liquidation: [found.liquidationPrice.price.toString(), found.liquidationPrice.exponent.toString()],
      exitFee: found.fees.exitFeeUsd.toString(),
      exitFeeAmount: found.fees.exitFeeAmount.toString(),
      borrowFee: found.fees.lockAndUnsettledFeeUsd.toString()
    }
  },
  liquidation: (asked) => {
    const found = client.getLiquidationPriceWithOrder(
      new BN(asked.collateralUsd), new BN(asked.sizeAmount), new BN(asked.sizeUsd), asked.sizeDecimals, price(asked.limit),
      { [asked.side]: {} }, CustodyAccount.from(nobody, sdkAccounts.decode('custody', bytes(asked.target))))
    return found.toUiPrice(asked.precision)
  },
  account: (asked) => plain(sdkAccounts.decode(asked.of, bytes(asked.data))),
  basket: async (asked) => {
    const basket = baskets.decode(asked.of, bytes(asked.data))
    return { read: plain(basket), written: (await baskets.encode(asked.of, basket)).toString('base64') }
  },
  text: (asked) => new BigNumber(asked.amount).div(new BigNumber(10).pow(asked.decimals))
    .toFixed(asked.precision, BigNumber.ROUND_DOWN)
}

async function main () {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line)
    let answer
    try {
      answer = { answer: await answers[asked.ask](asked) }
    } catch (error) {
      answer = { error: String((error && error.message) || error) }
    }
    process.stdout.write(JSON.stringify(answer) + '\n')
  }
}

main()
