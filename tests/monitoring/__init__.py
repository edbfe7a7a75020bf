"""The Grafana dashboard, which is made here, and the alert rules of the Helm chart, tested with a real Prometheus."""
