"""What a merged model's folder holds beside its tensors, and how it appears only when complete."""
