-- Flights with the rain at the airport in the hour that they were to leave; some hours lack weather.
SELECT carrier, flights.hour, dep_time, dep_delay, precip > 0 AS in_rain
FROM flights
LEFT JOIN weather USING (origin, time_hour)
