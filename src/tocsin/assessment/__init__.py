"""Any file through the whole loop in shadow: what would Tocsin have seen, and what would it have done?"""
