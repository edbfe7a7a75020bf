"""The domain: messages, keys, definitions, plans, and the service that ties them together.

Imports nothing outside the standard library and knows neither Redis nor Temporal; those are behind `ports`.
"""
