"""Sets of points: how they are drawn, who their neighbours are, and how they meet the grid."""
