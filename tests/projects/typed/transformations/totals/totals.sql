SELECT count(*) AS n, sum(price)::BIGINT AS price FROM items
