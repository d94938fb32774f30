"""Link: measurements with molecular and clinical variables."""
