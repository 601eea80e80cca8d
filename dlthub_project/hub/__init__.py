"""The modules that `import dlthub` finds if no package of that name is installed."""
