-- Numbers over time up to now, for plots and sums. $1: session; $2: how long; $3: step; $4: campaign; null is all.
SELECT at AS "at!", queued AS "queued!", sent AS "sent!", delivered AS "delivered!", read AS "read!", played AS "played!", failed AS "failed!",
       failures AS "failures!", expired AS "expired!", received AS "received!", median_seconds, p95_seconds
FROM wa.numbers_since($1, $2::text::interval, $3::text::interval, campaign => $4)
