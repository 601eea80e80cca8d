-- Delays by carrier and hour of the day (New York's, as scheduled), and those in rain.
SELECT
    carrier,
    hour,
    count(*) AS flights,
    count(*) - count(dep_time) AS cancelled,
    avg(dep_delay) AS mean_delay,
    count(*) FILTER (in_rain) AS flights_in_rain,
    avg(dep_delay) FILTER (in_rain) AS mean_delay_in_rain
FROM flights_in_weather
GROUP BY ALL
