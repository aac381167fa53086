"""ctlung: inflammatory area and CT number of the lungs from chest CT."""
