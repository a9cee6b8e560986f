"""What tests share: deployments, proxies, accounts and comparisons. It holds no tests."""
