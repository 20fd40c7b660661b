"""What the dashboards show, a module each; :mod:`monitoring.build` makes them."""
