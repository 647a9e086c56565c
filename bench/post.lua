-- Posts an order of 30 items, 2 KB of JSON, with every request.

local items = {}
for i = 1, 30 do
  items[i] = string.format('{"sku":"item-%04d","name":"a spotted thing","price":%d,"count":%d}', i, 100 + i, i % 3 + 1)
end

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"customer":4711,"currency":"EUR","items":[' .. table.concat(items, ",") .. "]}"
