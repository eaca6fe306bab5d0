CREATE INDEX order_newest ON orders.product_order (created_at, order_id)

-- next

CREATE INDEX invoice_newest ON billing.invoice (invoice_date, id)

-- next

CREATE INDEX payment_newest ON billing.payment (received_on, id)
