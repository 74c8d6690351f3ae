"""Three reference systems (ERP, CRM, time tracker) and a firm that runs on them."""
