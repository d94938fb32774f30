"""Radiomics: IBSI features of lesions in CT, MR and PET."""
