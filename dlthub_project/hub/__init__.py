"""What `import dlthub` finds when no package of that name is installed, and the finder of it."""
